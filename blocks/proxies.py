"""Loopback is reached directly, whatever proxy an environment names: what is sent there may carry keys."""

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from blocks.settings import LOOPBACK

DIRECT = (LOOPBACK, "localhost")


def exceptions(environ: Mapping[str, str]) -> dict[str, str]:
    """Return NO_PROXY in both spellings, loopback added to what stands there; the one in lower case goes before."""
    told = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    hosts = [host.strip() for host in told.split(",") if host.strip()]
    # A lone * means every host, and means nothing beside another.
    value = "*" if "*" in hosts else ",".join(dict.fromkeys([*hosts, *DIRECT]))
    return {"NO_PROXY": value, "no_proxy": value}


def is_loopback(url: str) -> bool:
    """Say whether a URL's host is this machine itself."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
