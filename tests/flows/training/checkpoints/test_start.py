"""What an instance started with."""

from pathlib import Path

import pytest

from blocks.storage.errors import NoSpace
from flows.training.checkpoints.start import Start, read_start
from tests.flows.training.disks import full_disk


def test_what_is_kept_is_read(tmp_path: Path):
    """And nothing where nothing was kept."""
    kept = Start(borrowed={"a/b": (1, 2)})
    assert read_start(tmp_path) == Start()
    kept.write(tmp_path)
    assert read_start(tmp_path) == kept


def test_a_full_disk_is_told_as_one(tmp_path: Path):
    """An attempt that cannot keep it ends for want of room, which is worth another one."""
    with full_disk(tmp_path / "disk"), pytest.raises(NoSpace):
        Start().write(tmp_path / "disk")
