"""What an instance is handed of a checkpoint that several instances made."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.training.checkpoints.manifest import Listed, Manifest, share_of


def manifest(instances: int, *paths: str) -> Manifest:
    files = [Listed(path=path, size=1, sha256=path) for path in paths]
    return Manifest(attempt="a", number=1, files=files, instances=instances)


@pytest.mark.parametrize(
    ("instances", "paths", "index", "handed"),
    [
        (1, ["a", "instance-0/b"], 0, {"a": "a", "instance-0/b": "instance-0/b"}),
        (1, ["a"], 3, {"a": "a"}),
        (2, ["instance-0/a"], 0, {"a": "instance-0/a"}),
        (2, ["instance-0/a"], 1, {"a": "instance-0/a"}),
        (2, ["instance-1/a"], 0, {"a": "instance-1/a"}),
        (2, ["instance-0/a", "instance-1/a"], 0, {"a": "instance-0/a"}),
        (2, ["instance-0/a", "instance-1/a"], 1, {"a": "instance-1/a"}),
        (3, ["instance-1/a", "instance-2/a"], 0, {"a": "instance-1/a"}),
        (2, ["instance-0/a", "instance-1/a"], 5, {"a": "instance-0/a"}),
        (2, ["instance-0/a", "instance-1/a/b"], 0, {"a": "instance-0/a"}),
        (2, ["instance-0/a", "instance-1/a/b"], 1, {"a/b": "instance-1/a/b"}),
        (11, ["instance-1/a", "instance-10/a"], 10, {"a": "instance-10/a"}),
    ],
)
def test_what_an_instance_is_handed(instances: int, paths: list[str], index: int, handed: dict[str, str]):
    """Its own part, and of the others what it does not have; what cannot lie beside it is left out."""
    assert {name: file.path for name, file in share_of(manifest(instances, *paths), index).items()} == handed


PATHS = st.lists(st.sampled_from(["a", "b", "a/c", "d/e", "d"]), max_size=4)


@given(st.lists(PATHS, min_size=2, max_size=4), st.integers(0, 4))
def test_what_is_handed_can_lie_in_one_folder(parts: list[list[str]], index: int):
    """No path is at once a file and a folder, and every one of an instance's own files that can be is its own."""
    paths = [f"instance-{part}/{name}" for part, names in enumerate(parts) for name in set(names)]
    share = share_of(manifest(len(parts), *paths), index)
    for name in share:
        assert not any(other.startswith(f"{name}/") for other in share)
    if index < len(parts):
        for name, file in share.items():
            if name in parts[index]:
                assert file.path == f"instance-{index}/{name}"
