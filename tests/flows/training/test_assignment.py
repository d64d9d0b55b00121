"""Where what a training writes lies."""

import pytest

from flows.training.assignment import checkpoints_of
from flows.training.spec import TrainingSpec

A, B = "tr-0123456789ab", "tr-ba9876543210"


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("", ""),
        ("obs://h/c", f"obs://h/c/{B}/attempt-2"),
        ("obs://h/c/mine/", f"obs://h/c/mine/{B}/attempt-2"),
        # Another's checkpoint is only read.
        (f"obs://h/c/mine/{A}/attempt-1/checkpoint-3", f"obs://h/c/mine/{B}/attempt-2"),
        (f"obs://h/c/mine/{A}/attempt-1/checkpoint-3/", f"obs://h/c/mine/{B}/attempt-2"),
        (f"obs://h/c/{A}/attempt-1/checkpoint-3", f"obs://h/c/{B}/attempt-2"),
        (f"nas://n:/{A}/attempt-1/checkpoint-3", f"nas://n:/{B}/attempt-2"),
        (f"file:///x/{A}/attempt-1/checkpoint-3/deep/er", f"file:///x/{B}/attempt-2"),
        (f"file:///x/{A}/attempt-1", f"file:///x/{B}/attempt-2"),
        (f"file:///x/{A}", f"file:///x/{B}/attempt-2"),
        (f"file:///x/{A}/attempt-1/checkpoint-1/{B}/attempt-1/checkpoint-1", f"file:///x/{B}/attempt-2"),
        # What is only named alike is a person's own.
        ("file:///x/tr-final/attempt-1/checkpoint-3", f"file:///x/tr-final/attempt-1/checkpoint-3/{B}/attempt-2"),
        (f"file:///x/my-{A}/checkpoint-3", f"file:///x/my-{A}/checkpoint-3/{B}/attempt-2"),
    ],
)
def test_checkpoints_never_lie_in_anothers_folder(path: str, found: str):
    """They lie below the checkpoint path; where that is in a training's own folder, beside that."""
    spec = TrainingSpec.model_construct(checkpoint_path=path)
    assert checkpoints_of(spec, B, 2) == found
