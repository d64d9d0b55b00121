"""Room for what comes in, on a disk that may have none."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from blocks.storage.errors import NoSpace, Unreachable
from flows.training.instances.room import empty, in_room
from tests.flows.training.disks import full_disk
from tests.flows.training.folders import fill, texts


def test_a_disk_without_room_for_the_folder_itself_is_told(tmp_path: Path):
    """As where the copy found none: with what it is for, and how much is free."""
    with (
        full_disk(tmp_path / "disk"),
        pytest.raises(NoSpace, match=r"^This machine's disk has no room for the code: 0\.0 GB are free\. Could not"),
        in_room("the code", tmp_path / "disk" / "code"),
    ):
        pytest.fail("there is no folder to copy into")


def test_what_went_wrong_first_is_told(tmp_path: Path):
    """Where half a copy cannot be tidied up, as the disk has become full, that does not take its place."""
    with ExitStack() as stack, pytest.raises(Unreachable), in_room("the code", tmp_path / "disk" / "code"):
        stack.enter_context(full_disk(tmp_path / "disk"))
        raise Unreachable("The store is away.")


def test_a_folder_that_is_emptied_is_there(tmp_path: Path):
    """Whether or not it was before; on a full disk that is told as such."""
    fill(tmp_path / "old", {"a/b": b"x"})
    empty([tmp_path / "old", tmp_path / "new"])
    assert texts(tmp_path / "old") == texts(tmp_path / "new") == {}
    assert (tmp_path / "new").is_dir()
    with full_disk(tmp_path / "disk"), pytest.raises(NoSpace):
        empty([tmp_path / "disk" / "code"])
