"""Which store serves a location, how a storage travels, and what it never shows."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from blocks.platform import Platform
from blocks.settings import Settings
from blocks.storage import Endpoint, Storage, parse
from blocks.storage.errors import BadPath, Refused, UnknownEndpoint, Unsafe

SECRET = "never-shown-secret"


def endpoint(account: str = "", url: str = "https://api.example.com") -> Endpoint:
    return Endpoint(
        url=url, region="KR1", account=account, access_key="never-shown-either", secret_key=SecretStr(SECRET)
    )


def served_by(storage: Storage, text: str) -> list[str]:
    return list(storage.to_wire([parse(text)])["endpoints"])


def test_the_account_in_the_path_chooses_the_endpoint() -> None:
    """With two accounts at one host each path gets its own; one without an account is refused as unclear."""
    names = ["host/v1/AUTH_a", "host/v1/AUTH_b"]
    storage = Storage({name: endpoint(name[-1]) for name in names}, {})
    assert served_by(storage, "obs://host/v1/AUTH_b/data") == ["host/v1/AUTH_b"]
    with pytest.raises(UnknownEndpoint, match="several accounts"):
        storage.to_wire([parse("obs://host/data")])


def test_one_account_may_be_left_out_or_written() -> None:
    """Where the platform has one account at a host, the path may name it or not, but no other."""
    for name in ("host", "host/v1/AUTH_a"):
        storage = Storage({name: endpoint("a")}, {})
        assert served_by(storage, "obs://host/data") == served_by(storage, "obs://host/v1/AUTH_a/data") == [name]
        with pytest.raises(UnknownEndpoint):
            storage.to_wire([parse("obs://host/v1/AUTH_b/data")])


def test_an_unknown_place_is_answered_with_the_known_ones() -> None:
    """Unknown object stores and NAS are named beside the known ones."""
    storage = Storage({"host-a": endpoint()}, {"nas-a": Path("/mnt")})
    with pytest.raises(UnknownEndpoint, match="host-a"):
        storage.stat(parse("obs://host-b/data/x"))
    with pytest.raises(UnknownEndpoint, match="nas-a"):
        storage.stat(parse("nas://nas-b:/x"))


def test_the_wire_carries_what_is_needed_and_no_more(tmp_path: Path) -> None:
    """Only the endpoints and mounts of the named locations travel, as JSON, and the other side can use them."""
    storage = Storage(
        {"host-a": endpoint(), "host-b": endpoint()}, {"nas-a": tmp_path, "nas-b": tmp_path}, [tmp_path / "home"]
    )
    wire = storage.to_wire([parse("obs://host-a/data/x"), parse("nas://nas-b:/x"), parse("file:///x")])
    assert set(wire["endpoints"]) == {"host-a"} and set(wire["nas"]) == {"nas-b"}
    received = Storage.from_wire(json.loads(json.dumps(wire)))
    assert received.to_wire([parse("obs://host-a/data"), parse("nas://nas-b:/")]) == wire
    received.write(parse("nas://nas-b:/x"), b"x")
    assert storage.read(parse("nas://nas-b:/x")) == b"x"


def test_a_wrong_wire_is_refused_without_its_values() -> None:
    """What does not describe a storage is refused by field name; no value is repeated."""
    with pytest.raises(Refused) as caught:
        Storage.from_wire({"endpoints": {"host": {"url": "ftp://x", "access_key": SECRET, "secret_key": SECRET}}})
    assert "endpoints.host.url" in str(caught.value) and SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


def test_no_text_of_it_shows_a_key() -> None:
    """Neither repr nor str of a storage, an endpoint or its dump shows a key."""
    storage = Storage({"host": endpoint()}, {})
    texts = [
        repr(storage),
        str(storage),
        repr(endpoint()),
        str(endpoint()),
        repr(storage.store(parse("obs://host/data"))),
    ]
    assert not any("never-shown" in text for text in texts)
    assert SECRET not in str(endpoint().model_dump())


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", nas={"nas-a": tmp_path})


def secrets_file(settings: Settings, text: str, mode: int = 0o600) -> None:
    settings.home.mkdir()
    file = settings.home / "secrets.env"
    file.write_text(text)
    file.chmod(mode)


OWN = "# comment\nEMF_OBJECT_STORE_ACCESS_KEY=easymaker:platform\nEMF_OBJECT_STORE_SECRET_KEY=a=b\n"


def own_keys(settings: Settings, environ: dict[str, str]) -> Any:
    wire = Storage.from_settings(settings, environ).to_wire([parse(settings.obs("data"))])
    return wire["endpoints"]["127.0.0.1:8480"]


def test_the_keys_come_from_the_file_or_the_environment(settings: Settings) -> None:
    """secrets.env gives the platform's own store; without it, the environment does."""
    environ = {"EMF_OBJECT_STORE_ACCESS_KEY": "easymaker:platform", "EMF_OBJECT_STORE_SECRET_KEY": "c"}
    assert own_keys(settings, environ)["secret_key"] == "c"
    secrets_file(settings, OWN)
    own = own_keys(settings, {})
    assert own["secret_key"] == "a=b" and own["account"] == "easymaker" and own["url"] == "http://127.0.0.1:8480"


def test_an_edited_key_is_used(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """What secrets.env says by now goes before what a process was started with."""
    secrets_file(settings, OWN)
    monkeypatch.setenv("EMF_OBJECT_STORE_SECRET_KEY", "a=b")
    platform = Platform(settings)
    assert own_keys(settings, dict(os.environ))["secret_key"] == "a=b"
    (settings.home / "secrets.env").write_text(OWN.replace("a=b", "edited"))
    wire = platform.afresh().storage.to_wire([parse(settings.obs("data"))])
    assert wire["endpoints"]["127.0.0.1:8480"]["secret_key"] == "edited"


def test_other_object_stores_are_named_by_the_operator(settings: Settings) -> None:
    """Further stores come under a word of their own; https and the host of the path unless a URL is given."""
    environ = {
        "EMF_OBJECT_STORE_NHN_ENDPOINT": "api.example.com/v1/AUTH_ab",
        "EMF_OBJECT_STORE_NHN_ACCESS_KEY": "k",
        "EMF_OBJECT_STORE_NHN_SECRET_KEY": "s",
        "EMF_OBJECT_STORE_NHN_REGION": "KR2",
    }
    wire = Storage.from_settings(settings, environ).to_wire([parse("obs://api.example.com/v1/AUTH_ab/data")])
    found = wire["endpoints"]["api.example.com/v1/AUTH_ab"]
    assert (found["url"], found["region"], found["account"]) == ("https://api.example.com", "KR2", "ab")


def test_half_of_the_keys_is_refused_by_name(settings: Settings) -> None:
    """An access key without its secret names the variable that is missing."""
    with pytest.raises(Refused, match="EMF_OBJECT_STORE_SECRET_KEY"):
        Storage.from_settings(settings, {"EMF_OBJECT_STORE_ACCESS_KEY": "a:b"})


def test_without_keys_only_object_stores_are_missing(settings: Settings) -> None:
    """A platform without keys still has its disks; of its own object store it says what makes the keys."""
    storage = Storage.from_settings(settings, {})
    storage.write(parse("nas://nas-a:/x"), b"x")
    with pytest.raises(UnknownEndpoint, match="emf up"):
        storage.stat(parse(settings.obs("data", "x")))
    with pytest.raises(UnknownEndpoint, match="It knows: none"):
        storage.stat(parse("obs://elsewhere/data/x"))


def test_a_secrets_file_that_others_can_read_is_refused(settings: Settings) -> None:
    """The mode of secrets.env must be 0600; the message has the command."""
    secrets_file(settings, OWN, 0o644)
    with pytest.raises(Unsafe, match="chmod 600"):
        Storage.from_settings(settings, {})


def test_the_import_leaves_boto3_out() -> None:
    """Importing the room, or using a disk, does not load boto3; the terminal starts quickly."""
    script = (
        "import sys; from blocks.storage import Storage, parse; import blocks.storage.access;"
        "Storage({}, {}).stat(parse('file:///etc/hosts')); assert not {'boto3', 'botocore'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60, cwd=Path(__file__).parents[3])


def test_a_copy_stays_in_its_place(tmp_path: Path):
    """From one place to another nothing can be copied without coming here: that is refused."""
    storage = Storage({}, {"nas-1": tmp_path, "nas-2": tmp_path})
    (tmp_path / "a").touch()
    with pytest.raises(BadPath, match="not in one place"):
        storage.copy(parse("nas://nas-1:/a"), parse("nas://nas-2:/b"))
