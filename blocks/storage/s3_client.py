"""The boto3 client, set so that it works with every S3 peer that was measured: OpenStack Swift old and new, over TLS.

With boto3's defaults an older Swift refuses every put over HTTPS (aws-chunked trailers) and DeleteObjects (no MD5).
"""

import base64
import hashlib
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from blocks.proxies import is_loopback
from blocks.storage.endpoints import Endpoint

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

POOL = 32
"""Connections that one client keeps."""
TRIES = 4
"""Of each request. Where three in ten fail, that leaves one in a hundred."""
PART_TRIES = 7
"""Of each part of a large file: where one fails all of its parts, which may be hundreds, go again."""


def connect(endpoint: Endpoint, tries: int = TRIES) -> "S3Client":
    """Return a client for the endpoint; nothing is sent yet. It may be used by many threads."""
    config = Config(
        signature_version="s3v4",
        s3={"addressing_style": "path"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        max_pool_connections=POOL,
        connect_timeout=5,
        read_timeout=60,
        retries={"mode": "standard", "total_max_attempts": tries},
        proxies={} if is_loopback(endpoint.url) else None,  # None: what the environment names
    )
    session = boto3.session.Session(
        aws_access_key_id=endpoint.access_key,
        aws_secret_access_key=endpoint.secret_key.get_secret_value(),
        region_name=endpoint.region,
    )
    client: S3Client = session.client(  # pyright: ignore[reportUnknownMemberType] (its stub covers every service)
        "s3", endpoint_url=endpoint.url, config=config
    )
    client.meta.events.register("before-sign.s3.DeleteObjects", _add_content_md5)
    return client


def _add_content_md5(request: Any, **_: Any) -> None:
    if "Content-MD5" not in request.headers:
        digest = hashlib.md5(request.body, usedforsecurity=False).digest()
        request.headers["Content-MD5"] = base64.b64encode(digest).decode()
