"""What the client sends, where an older Swift over HTTPS would refuse boto3's defaults."""

import base64
import hashlib
from typing import Any

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from pydantic import SecretStr

from blocks.storage import Endpoint
from blocks.storage.s3_client import connect


class Body:
    """An empty body, as urllib3 gives one."""

    def stream(self, **_: Any) -> list[bytes]:
        return [b""]


def sent(operation: str, **arguments: Any) -> AWSPreparedRequest:
    """The request that one call would put on the wire; it is kept here."""
    client = connect(Endpoint(url="https://api.example.com", access_key="a:b", secret_key=SecretStr("c")))
    kept: list[AWSPreparedRequest] = []

    def keep(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        kept.append(request)
        return AWSResponse(request.url, 200, {}, Body())

    client.meta.events.register("before-send.s3", keep)
    getattr(client, operation)(Bucket="data", **arguments)
    return kept[0]


def test_a_put_over_https_is_sent_plain() -> None:
    """No aws-chunked body and no checksum trailer: an older Swift takes neither."""
    headers = {name.lower(): str(value) for name, value in sent("put_object", Key="x", Body=b"x").headers.items()}
    assert "x-amz-trailer" not in headers and "aws-chunked" not in headers.get("content-encoding", "")
    assert not any(name.startswith("x-amz-checksum") for name in headers)


def test_a_batch_delete_carries_its_md5() -> None:
    """DeleteObjects has the Content-MD5 that an older Swift requires."""
    request = sent("delete_objects", Delete={"Objects": [{"Key": "x"}]})
    body = request.body if isinstance(request.body, bytes) else str(request.body).encode()
    expected = base64.b64encode(hashlib.md5(body).digest()).decode()
    assert request.headers["Content-MD5"] in {expected, expected.encode()}


def test_the_container_is_in_the_path() -> None:
    """Path style: a container is no host name."""
    assert sent("head_object", Key="데이터/x").url.startswith("https://api.example.com/data/%EB")


@pytest.mark.parametrize(("url", "direct"), [("http://127.0.0.1:8480", True), ("https://api.example.com", False)])
def test_no_proxy_stands_before_a_store_of_this_machine(
    url: str, direct: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others are reached through the one that the environment names."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://proxy.example.org:3128")
    client = connect(Endpoint(url=url, access_key="a:b", secret_key=SecretStr("c")))
    session = client._endpoint.http_session  # type: ignore[attr-defined]
    assert (session._proxy_config.proxy_url_for(url) is None) is direct
