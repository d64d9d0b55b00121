"""Where what a training writes lies."""

import pytest

from blocks.storage.location import parse
from flows.training.assignment import checkpoint_root, checkpoints_of
from flows.training.spec import TrainingSpec

A, B = "tr-0123456789ab", "tr-ba9876543210"


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("", ""),
        ("obs://h/con", f"obs://h/con/{B}/attempt-2"),
        ("obs://h/con/mine/", f"obs://h/con/mine/{B}/attempt-2"),
        # Another's checkpoint is only read.
        (f"obs://h/con/mine/{A}/attempt-1/checkpoint-3", f"obs://h/con/mine/{B}/attempt-2"),
        (f"obs://h/con/mine/{A}/attempt-1/checkpoint-3/", f"obs://h/con/mine/{B}/attempt-2"),
        (f"obs://h/con/{A}/attempt-1/checkpoint-3", f"obs://h/con/{B}/attempt-2"),
        (f"nas://n:/{A}/attempt-1/checkpoint-3", f"nas://n:/{B}/attempt-2"),
        (f"file:///x/{A}/attempt-1/checkpoint-3/deep/er", f"file:///x/{B}/attempt-2"),
        (f"file:///x/{A}/attempt-1", f"file:///x/{B}/attempt-2"),
        (f"file:///x/{A}", f"file:///x/{B}/attempt-2"),
        (f"file:///x/{A}/attempt-1/checkpoint-1/{B}/attempt-1/checkpoint-1", f"file:///x/{B}/attempt-2"),
        (f"nas://n:/{A}", f"nas://n:/{B}/attempt-2"),
        ("nas://n:/", f"nas://n:/{B}/attempt-2"),
        # A container, a host or a disk's own folder that is named like one is none.
        (f"obs://h/{A}", f"obs://h/{A}/{B}/attempt-2"),
        (f"obs://h/v1/AUTH_a/{A}/mine", f"obs://h/v1/AUTH_a/{A}/mine/{B}/attempt-2"),
        (f"obs://h/{A}/{A}/attempt-1", f"obs://h/{A}/{B}/attempt-2"),
        (f"obs://{A}/con/mine", f"obs://{A}/con/mine/{B}/attempt-2"),
        (f"file:///{A}/mine", f"file:///{A}/mine/{B}/attempt-2"),
        # What is only named alike is a person's own.
        ("file:///x/tr-final/attempt-1/checkpoint-3", f"file:///x/tr-final/attempt-1/checkpoint-3/{B}/attempt-2"),
        (f"file:///x/my-{A}/checkpoint-3", f"file:///x/my-{A}/checkpoint-3/{B}/attempt-2"),
    ],
)
def test_checkpoints_never_lie_in_anothers_folder(path: str, found: str):
    """They lie below the checkpoint path; where that is in a training's own folder, beside that."""
    spec = TrainingSpec.model_construct(checkpoint_path=path)
    assert checkpoints_of(spec, B, 2) == found


@pytest.mark.parametrize("path", ["nas://n:/", f"nas://n:/{A}", f"obs://h/{A}/{A}", f"obs://h/{A}", f"file:///{A}"])
def test_where_checkpoints_are_written_is_a_path_itself(path: str):
    """Also where all of a mount or a container is left of it: it is tried before a training is created."""
    assert str(parse(checkpoint_root(path))) == checkpoint_root(path)
