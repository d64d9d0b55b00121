"""The object stores that the platform has credentials for, and where those credentials come from.

The platform's own store: EMF_OBJECT_STORE_ACCESS_KEY and EMF_OBJECT_STORE_SECRET_KEY. Any other, under a word of the
operator's choice: EMF_OBJECT_STORE_{WORD}_ENDPOINT (as users write it, with or without /v1/AUTH_…), _ACCESS_KEY,
_SECRET_KEY, _REGION, and _URL if it is not https:// and the host. Each from EMF_HOME/secrets.env, else from the
environment: the file is what an operator edits while processes run, and every process must use the same keys.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from blocks.secrets_file import FILE, BadSecrets, parse, read
from blocks.settings import Settings
from blocks.storage.errors import Refused, Unsafe
from blocks.storage.os_errors import os_faults

_OTHER = re.compile(r"EMF_OBJECT_STORE_(?P<word>[A-Z0-9_]+)_ENDPOINT")


class Endpoint(BaseModel):
    """How to reach one object store by its S3 API; prints and logs without its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
    url: str = Field(pattern=r"^https?://[^\s@]+$")
    region: str = Field("KR1", min_length=1)
    account: str = ""
    access_key: str = Field(min_length=1, repr=False)
    secret_key: SecretStr


def configured(settings: Settings, environ: Mapping[str, str]) -> dict[str, Endpoint]:
    """Return the platform's own object store and every other that the operator named, by endpoint.

    Raises:
        Refused: a store is named without its keys; the missing field is named, no value is.
        Unsafe: the secrets file can be read by others.
    """
    known = {**environ, **secrets(settings.home / FILE)}
    found: dict[str, Endpoint] = {}
    if "EMF_OBJECT_STORE_ACCESS_KEY" in known:
        own = settings.object_store_endpoint
        found[own] = _endpoint(known, "EMF_OBJECT_STORE", f"http://{own}", settings.region, settings.account)
    for name, value in known.items():
        if match := _OTHER.fullmatch(name):
            shown = value.strip("/")
            host, _, account = shown.partition("/v1/AUTH_")
            variable = f"EMF_OBJECT_STORE_{match['word']}"
            url = known.get(f"{variable}_URL") or f"https://{host}"
            region = known.get(f"{variable}_REGION") or settings.region
            found[shown] = _endpoint(known, variable, url, region, account)
    return found


def secrets(file: Path) -> dict[str, str]:
    """Return the KEY=value lines of a secrets file; nothing when there is no file.

    Raises:
        Unsafe: its mode lets others read it.
        Refused: a line is none, or the file is not UTF-8.
    """
    with os_faults(file, "read"):
        if not file.exists():
            return {}
        if file.stat().st_mode & 0o077:
            raise Unsafe(f"{file} can be read by others.", f"Run `chmod 600 {file}`.")
        try:
            return parse(read(file), file)
        except BadSecrets as error:
            raise Refused(str(error)) from error


def _endpoint(known: Mapping[str, str], variable: str, url: str, region: str, account: str) -> Endpoint:
    try:
        return Endpoint(
            url=url,
            region=region,
            account=account.removeprefix("AUTH_"),
            access_key=known.get(f"{variable}_ACCESS_KEY", ""),
            secret_key=SecretStr(known[f"{variable}_SECRET_KEY"]),
        )
    except KeyError as error:
        raise Refused(f"The object store {url} has no {error.args[0]}.", "Set it in EMF_HOME/secrets.env.") from error
    except ValidationError as error:
        fields = ", ".join(f"{variable}_{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
        raise Refused(
            f"The object store {variable} is set up wrongly: {fields}.", "See EMF_HOME/secrets.env."
        ) from None
