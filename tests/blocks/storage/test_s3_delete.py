"""What it means that a server kept some of the objects that it was to delete."""

import pytest

from blocks.storage.errors import Refused, StorageError, Unreachable
from blocks.storage.location import parse
from blocks.storage.s3_delete import not_deleted


@pytest.mark.parametrize(
    ("codes", "kind"),
    [
        (["SlowDown"], Unreachable),
        (["ServiceUnavailable", "InternalError"], Unreachable),
        (["AccessDenied"], Refused),
        (["SlowDown", "AccessDenied"], Refused),
    ],
)
def test_what_is_only_busy_is_asked_again(codes: list[str], kind: type[StorageError]) -> None:
    """Objects that the server could not delete just then pass; what it refuses does not."""
    kept = [{"Key": f"set/{code}", "Code": code, "Message": ""} for code in codes]
    fault = not_deleted(parse("obs://host/data/set"), kept)  # type: ignore[arg-type]
    assert type(fault) is kind
    assert f"'set/{codes[0]}' ({codes[0]}: )" in str(fault)
