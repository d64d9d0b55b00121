"""Where the keys of object stores come from."""

from pathlib import Path

import pytest

from blocks.storage.endpoints import secrets
from blocks.storage.errors import Refused


def test_a_line_that_is_none_is_a_storage_error(tmp_path: Path) -> None:
    """It is told by its number, as an error of this room."""
    file = tmp_path / "secrets.env"
    file.write_text("A=1\nhunter2\n")
    file.chmod(0o600)
    with pytest.raises(Refused, match="line 2 is not") as refusal:
        secrets(file)
    assert "hunter2" not in str(refusal.value)


def test_a_file_in_another_encoding_is_a_storage_error(tmp_path: Path) -> None:
    """It says where the text ends, and shows nothing of it."""
    file = tmp_path / "secrets.env"
    file.write_bytes(b"A=hunter2\nB=\xfchunter2\n")
    file.chmod(0o600)
    with pytest.raises(Refused, match=r"not text in UTF-8, from its byte 13 on") as refusal:
        secrets(file)
    assert "hunter2" not in str(refusal.value)
