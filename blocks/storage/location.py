"""`Location`: a storage path after it was checked; every module of this room takes it, none takes text.

obs://{endpoint}/{container}/{path}   an object store; the endpoint may carry its account: host/v1/AUTH_account
nas://{id or ip}:/{path}              a folder of a mount that the operator named
file:///{path}                        a folder of this machine
"""

import re
import unicodedata
from dataclasses import dataclass, replace
from typing import Literal

from blocks.storage.errors import BadPath

USER_LIMIT = 255
"""Characters of a path that a user may type."""
DERIVED_LIMIT = 2048
"""Characters of a path that the platform joined from a user's and its own ids."""
KEY_LIMIT = 1024
"""Bytes of an object's key in UTF-8: S3's limit and Swift's."""

Scheme = Literal["obs", "nas", "file"]

_FORMS = {
    "obs": "obs://{endpoint}/{container}/{path}",
    "nas": "nas://{id or ip}:/{path}",
    "file": "file:///{absolute path}",
}
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_NAS = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")
_ACCOUNT = re.compile(r"AUTH_[A-Za-z0-9_.-]+")
_CONTAINER = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
# Controls and line separators corrupt logs and listings, surrogates have no UTF-8, U+FFFE and U+FFFF no XML.
_UNWRITABLE = {"Cc", "Cs", "Zl", "Zp"}


@dataclass(frozen=True)
class Location:
    """One folder or file. Every instance is valid; a wrong part raises `BadPath`.

    `key` has no leading slash; one that is empty or ends in a slash is a folder and never a single object.
    """

    scheme: Scheme
    authority: str
    container: str
    key: str
    account: str = ""

    def __post_init__(self) -> None:
        fault = _part_fault(self) or (key_fault(self.key.removesuffix("/")) if self.key else None)
        if fault:
            raise BadPath(*fault)
        if self.scheme == "obs" and len(self.key.encode()) > KEY_LIMIT:
            raise BadPath(f"The path {_shown(self.key)} has {len(self.key.encode())} bytes; {KEY_LIMIT} are possible.")

    def __str__(self) -> str:
        """Return the text from which `parse` makes this same location."""
        if self.scheme == "obs":
            root = f"obs://{self.endpoint}/{self.container}"
            return f"{root}/{self.key}" if self.key else root
        return f"nas://{self.authority}:/{self.key}" if self.scheme == "nas" else f"file:///{self.key}"

    def __truediv__(self, name: str) -> "Location":
        """Return what is called `name` (it may have slashes inside) below this folder; raise `BadPath` if it leaves."""
        return replace(self, key=self.prefix + name)

    @property
    def endpoint(self) -> str:
        """The object store or mount as users write it, with the account when they gave one."""
        return f"{self.authority}/v1/{self.account}" if self.account else self.authority

    @property
    def is_folder(self) -> bool:
        """Whether the text itself says that this is a folder."""
        return not self.key or self.key.endswith("/")

    @property
    def prefix(self) -> str:
        """What the key of everything below this folder starts with: nothing, or a text that ends in a slash."""
        return self.key if self.is_folder else f"{self.key}/"

    @property
    def name(self) -> str:
        """The last part of the key; nothing for a whole container or mount."""
        return self.key.rstrip("/").rpartition("/")[2]


def parse(text: str, limit: int = USER_LIMIT) -> Location:
    """Return the location that `text` names.

    Args:
        text: one of the three forms above; percent signs and plus signs are letters like any other.
        limit: the most characters allowed; `DERIVED_LIMIT` for paths that the platform made itself.

    Raises:
        BadPath: with what is wrong, the value, and what would be right.
    """
    if len(text) > limit:
        raise BadPath(f"The path {_shown(text)} has {len(text)} characters; at most {limit} are possible.")
    scheme, separator, rest = text.partition("://")
    if not separator or scheme not in _FORMS:
        hint = (
            f"Write {scheme.strip().lower()}:// in lower case." if scheme.strip().lower() in _FORMS else _every_form()
        )
        raise BadPath(f"The path {_shown(text)} does not start with obs://, nas:// or file://.", hint)
    if "@" in rest.partition("/")[0]:  # the value may hold a password: it is not repeated
        raise BadPath("The path carries a user or a key before its '@'.", f"Write {_FORMS[scheme]} without them.")
    if scheme == "obs":
        return _parse_obs(text, rest)
    if scheme == "nas":
        authority, colon, key = rest.partition(":/") if not rest.startswith("[") else _after_bracket(rest)
        if not colon:
            raise BadPath(f"The path {_shown(text)} has no ':/' after the NAS.", f"Write {_FORMS['nas']}.")
        return Location("nas", authority, "", key)
    if not rest.startswith("/"):
        raise BadPath(f"The path {_shown(text)} names no absolute path of this machine.", f"Write {_FORMS['file']}.")
    return Location("file", "", "", rest[1:])


def key_fault(key: str) -> tuple[str, str] | None:
    """Return what is wrong with a relative path (no slash at either end) and what would be right; None when nothing."""
    for segment in key.split("/"):
        if segment == "":
            return f"The path {_shown(key)} has an empty part: two slashes in a row, or one too many.", "Remove it."
        if segment in {".", ".."}:
            return f"The path {_shown(key)} has the part {segment!r}.", "Write the path without dots for folders."
    wrong = next((c for c in key if unicodedata.category(c) in _UNWRITABLE or c in "\ufffe\uffff"), None)
    if wrong is not None:
        return f"The path {_shown(key)} holds the character {wrong!r}, which no path can have.", "Remove it."
    return None


def _parse_obs(text: str, rest: str) -> Location:
    authority, _, path = rest.partition("/")
    account = ""
    if path == "v1" or path.startswith("v1/"):
        _, account, path = (*path.split("/", 2), "", "")[:3]
        if not account:
            raise BadPath(f"The path {_shown(text)} names no account after /v1/.", "Write {host}/v1/AUTH_{account}.")
    container, _, key = path.partition("/")
    if not container:
        raise BadPath(f"The path {_shown(text)} names no container.", f"Write {_FORMS['obs']}.")
    return Location("obs", authority, container, key, account)


def _after_bracket(rest: str) -> tuple[str, str, str]:
    authority, bracket, key = rest.partition("]:/")
    return f"{authority}]", bracket, key


def _part_fault(place: Location) -> tuple[str, str] | None:
    form = f"Write {_FORMS[place.scheme]}."
    if place.scheme == "obs":
        return _obs_fault(place, form)
    if place.container or place.account:
        return f"A {place.scheme}:// path has no container and no account.", form
    if place.scheme == "nas":
        return (
            None if _NAS.fullmatch(place.authority) else (f"{_shown(place.authority)} is no NAS id or address.", form)
        )
    if place.authority:
        return f"file:// names the host {_shown(place.authority)}; only this machine is possible.", form
    # a whole machine is never what somebody meant
    return None if place.key else ("file:/// names this machine's whole disk.", "Name a folder of it.")


def _obs_fault(place: Location, form: str) -> tuple[str, str] | None:
    if not _HOST.fullmatch(place.authority):
        return (
            f"{_shown(place.authority)} is no endpoint of an object store.",
            f"{form} The endpoint is host or host:port.",
        )
    if place.account and not _ACCOUNT.fullmatch(place.account):
        return f"{_shown(place.account)} is no account of an object store.", "Write {host}/v1/AUTH_{account}."
    if not _CONTAINER.fullmatch(place.container):
        rule = "A container has 3 to 63 of a-z, 0-9, '-' and '.', and starts and ends with a letter or digit."
        return f"{_shown(place.container)} is no name of a container.", rule
    return None


def _every_form() -> str:
    return "Write " + ", ".join(_FORMS.values()) + "."


def _shown(text: str) -> str:
    """Return the text in quotes, controls escaped, short enough for a message."""
    return repr(text if len(text) <= 100 else f"{text[:97]}…")
