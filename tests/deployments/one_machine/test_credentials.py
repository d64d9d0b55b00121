"""The platform's secrets."""

from pathlib import Path

import pytest

from blocks.secrets_file import FILE, BadSecrets
from blocks.settings import Settings
from deployments.one_machine import credentials


def test_secrets_are_made_once(tmp_path: Path) -> None:
    """A second call gives the same ones: a new hash suffix would lose every object."""
    settings = Settings(home=tmp_path, account="lab")
    first = credentials.ensure(settings)
    assert first["EMF_OBJECT_STORE_ACCESS_KEY"] == "lab:admin"
    assert len(first["EMF_OBJECT_STORE_SECRET_KEY"]) >= 32
    assert credentials.ensure(settings) == first


def test_only_the_owner_can_read_them(tmp_path: Path) -> None:
    """The mode is 0600, also of a file that came with another."""
    file = tmp_path / FILE
    file.write_text("EMF_SWIFT_HASH_SUFFIX=abc\n")
    file.chmod(0o644)
    credentials.ensure(Settings(home=tmp_path))
    assert file.stat().st_mode & 0o777 == 0o600


def test_what_the_operator_wrote_stays(tmp_path: Path) -> None:
    """Lines and comments are kept; what is missing is added."""
    file = tmp_path / FILE
    file.write_text("# ours\nEMF_OBJECT_STORE_ACCESS_KEY=lab:me\nEMF_LOG_KEY = a=b \n")
    secrets = credentials.ensure(Settings(home=tmp_path))
    assert secrets["EMF_OBJECT_STORE_ACCESS_KEY"] == "lab:me"
    assert secrets["EMF_LOG_KEY"] == "a=b"
    assert file.read_text().startswith("# ours\nEMF_OBJECT_STORE_ACCESS_KEY=lab:me\n")


def test_a_file_in_another_encoding_is_told_and_left_alone(tmp_path: Path) -> None:
    """It is a fault of the operator's with its file, and no byte of it changes."""
    file = tmp_path / FILE
    file.write_bytes("# Schlüssel\nA=1\n".encode("latin-1"))
    with pytest.raises(BadSecrets, match=r"secrets\.env is not text in UTF-8"):
        credentials.ensure(Settings(home=tmp_path))
    assert file.read_bytes() == "# Schlüssel\nA=1\n".encode("latin-1")
