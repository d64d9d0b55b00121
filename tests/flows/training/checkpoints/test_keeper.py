"""The keeper: checkpoints are noticed, copied at rest, committed, told, and only the newest kept."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.errors import Permanent
from blocks.storage.errors import BadPath, Unreachable
from blocks.storage.location import parse
from blocks.storage.storage import Storage
from flows.training.checkpoints.checkpoint import Committed, fetch
from flows.training.checkpoints.keeper import MOVING_SECONDS, OPEN_SECONDS, STILL_TOGETHER_SECONDS, Keeper, Kept, is_due
from flows.training.checkpoints.manifest import read_manifest
from flows.training.checkpoints.snapshot import Part
from tests.flows.training.checkpoints.keeping import KEEP, TRAINING, Failing, keeper, watch_of
from tests.flows.training.folders import FILES, content, fill

A, B = {"a": (1, 1)}, {"a": (1, 2)}


@pytest.mark.parametrize(
    ("current", "committed", "resting", "moving", "due"),
    [
        ({}, {}, 9, 0, False),  # nothing there
        ({}, A, 99, 99, False),  # all of it was removed: nothing to keep
        (A, {}, 0, 0, False),  # just appeared
        (A, {}, 1, 1, True),  # new, and at rest
        (A, A, 99, 0, False),  # kept already
        (B, A, 0, 1, False),  # changing
        (B, A, 1, 2, True),  # changed, and at rest
        (B, A, 0, MOVING_SECONDS - 0.1, False),
        (B, A, 0, MOVING_SECONDS, True),  # never rests
        (A, A, 0, 99, False),  # went back to what is kept
    ],
)
def test_when_a_checkpoint_is_due(current: dict, committed: dict, resting: float, moving: float, due: bool):
    """What is new and rests, or has not rested for long."""
    assert is_due(current, committed, resting=resting, moving=moving) == due


SIGNATURES = st.dictionaries(st.sampled_from("abc"), st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=3)


@given(SIGNATURES, SIGNATURES, st.floats(0, 30), st.floats(0, 30))
def test_nothing_is_kept_twice(current: dict, committed: dict, resting: float, moving: float):
    """Neither an empty folder nor one that is as committed is ever due."""
    if is_due(current, committed, resting=resting, moving=moving):
        assert current
        assert current != committed


def test_a_checkpoint_is_kept_once_it_rests(
    storage: Storage, folder: Path, there: Path, told: list[Committed], tmp_path
):
    """Seen, at rest at the next look, committed and told; and not again while nothing changes."""
    watch = keeper(storage, folder, there, told)
    assert watch.tick(0) is None
    fill(folder)
    assert watch.tick(1) is None
    assert watch.tick(2) == told[0]
    assert [watch.tick(now) for now in (3, 4, 99)] == [None] * 3
    assert watch.finish() is None
    assert fetch(storage, told[0].path, tmp_path / "back").manifest


def test_a_folder_that_never_rests_is_kept_all_the_same(
    storage: Storage, folder: Path, there: Path, told: list[Committed]
):
    """After ten seconds of change it is tried at every look."""
    watch = keeper(storage, folder, there, told)
    for now in range(13):
        fill(folder, {"a": b"x" * (now + 1)})
        watch.tick(float(now))
    assert [one.number for one in told] == [1]


def test_links_are_kept_and_those_that_lead_away_are_told(
    storage: Storage, folder: Path, there: Path, told: list[Committed], tmp_path: Path
):
    """A link to the newest file comes back as that file; one out of the folder is named with its reason."""
    watch = keeper(storage, folder, there, told)
    fill(folder, {"a.pt": b"1"})
    (folder / "last.pt").symlink_to("a.pt")
    (folder / "away").symlink_to("/etc/hostname")
    assert watch.finish() == told[0]
    assert told[0].left_out == ("away: a link that leaves the folder",)
    assert fetch(storage, told[0].path, tmp_path / "back").manifest
    assert content(tmp_path / "back") == {"a.pt": b"1", "last.pt": b"1"}
    assert watch.finish() is None


def test_the_copy_stays_until_its_commit_was_told(storage: Storage, folder: Path, there: Path):
    """To whom a run that is killed before could not tell of it, the copy proves that the folder is whole."""
    copy, copies = folder.parent / "checkpoint-copy", list[dict[str, bytes]]()
    watch = keeper(storage, folder, there, [])
    watch._tell = lambda _done: copies.append(content(copy))
    fill(folder)
    watch.finish()
    assert copies == [FILES]
    assert not copy.exists()


def test_what_a_retry_starts_with_is_no_new_checkpoint(
    storage: Storage, folder: Path, there: Path, told: list[Committed]
):
    """The checkpoint that a training goes on from lies there at the start and is kept already."""
    watch = keeper(storage, fill(folder), there, told)
    assert [watch.tick(float(now)) for now in range(3)] == [None] * 3
    assert watch.finish() is None


def test_what_the_script_left_at_its_end_is_kept(storage: Storage, folder: Path, there: Path, told: list[Committed]):
    """The last look needs no rest: nobody writes any more."""
    watch = keeper(storage, folder, there, told)
    fill(folder)
    assert watch.finish() == told[0]
    assert watch.finish() is None


def test_an_empty_folder_after_a_checkpoint_takes_nothing_away(
    storage: Storage, folder: Path, there: Path, told: list[Committed], tmp_path: Path
):
    """A script that clears its folder keeps what was committed."""
    watch = keeper(storage, folder, there, told)
    fill(folder, {"a": b"1"})
    watch.finish()
    (folder / "a").unlink()
    assert [watch.tick(now) for now in (0, 1, 99)] == [None] * 3
    assert fetch(storage, told[0].path, tmp_path / "back").manifest


@pytest.mark.parametrize(
    ("verb", "suffix", "after"),
    [
        ("upload", "checkpoint-1", False),
        ("upload", "checkpoint-1", True),
        ("write", ".manifest.json", True),
        ("write", ".committed", False),
        ("write", ".committed", True),
    ],
)
def test_a_try_that_broke_off_spoils_nothing(
    verb: str, suffix: str, after: bool, folder: Path, there: Path, told: list[Committed], tmp_path: Path
):
    """Wherever the first try broke off, the next commits what is there then, and exactly that comes back."""
    storage = Failing(verb, suffix, after=after)
    watch = keeper(storage, folder, there, told)
    storage.times = 1
    fill(folder, {"old.pt": b"old"})
    with pytest.raises(Unreachable):
        watch.finish()
    assert told == []
    (folder / "old.pt").unlink()
    fill(folder, {"new.pt": b"new"})
    watch.finish()
    assert [one.number for one in told] == [1]
    assert fetch(storage, told[0].path, tmp_path / "back").manifest
    assert content(tmp_path / "back") == {"new.pt": b"new"}


def test_a_long_path_has_room_for_checkpoints(storage: Storage, folder: Path, there: Path, told: list[Committed]):
    """A checkpoint path of the 255 characters that are allowed works with what the platform adds to it."""
    root = f"file://{there}"
    while len(root) < 255:
        root += "/" + "p" * min(100, 254 - len(root)) if len(root) < 254 else "p"
    assert len(root) == 255
    of = Kept(f"{TRAINING}-a1", f"{root}/{TRAINING}/attempt-1", KEEP)
    watch = Keeper(storage, [Part(folder)], folder.parent / "checkpoint-copy", of, told.append)
    fill(folder)
    watch.finish()
    assert told[0].path == f"{root}/{TRAINING}/attempt-1/checkpoint-1"
    with pytest.raises(BadPath):
        parse(told[0].path)


def test_one_that_pauses_in_the_middle_of_a_file_is_waited_for(
    storage: Storage, folder: Path, there: Path, told: list[Committed]
):
    """While a file is open for writing nothing rests; one that is never closed is kept all the same, much later."""
    is_open = [True]
    watch = watch_of(storage, [Part(folder)], there, told, is_being_written=lambda: is_open[0])
    fill(folder)
    assert [watch.tick(now) for now in (0, 1, 2, 11, 60)] == [None] * 5
    is_open[0] = False
    assert watch.tick(61) == told[0]
    fill(folder, {"log": b"never closed"})
    is_open[0] = True
    assert [watch.tick(now) for now in (62, 63, 70, 661)] == [None] * 4
    assert watch.tick(62 + OPEN_SECONDS) == told[1]


def test_what_a_script_that_was_killed_had_just_begun_is_no_checkpoint(
    storage: Storage, folder: Path, there: Path, told: list[Committed]
):
    """It may be torn: the one before it stays the last. What had rested by then, and was not sent yet, counts."""
    watch = keeper(storage, folder, there, told)
    fill(folder, {"state": b"whole"})
    watch.tick(0)
    assert watch.tick(1) == told[0]
    fill(folder, {"state": b"to"})
    watch.tick(2)
    assert watch.finish(is_whole=False) is None
    assert watch.finish(is_whole=True) == told[1]


def test_what_had_rested_before_a_kill_counts(folder: Path, there: Path, told: list[Committed]):
    """A store that was away when it rested, and is back at the end."""
    storage = Failing("upload", "checkpoint-1", after=False)
    watch = keeper(storage, folder, there, told)
    fill(folder)
    watch.tick(0)
    storage.times = 1
    with pytest.raises(Unreachable):
        watch.tick(1)
    assert watch.finish(is_whole=False) == told[0]


def test_a_checkpoint_of_several_has_every_part(storage: Storage, there: Path, told: list[Committed], tmp_path: Path):
    """One manifest and one marker over the parts of all; nothing is committed while one of them still moves."""
    folders = [tmp_path / f"instance-{index}" / "checkpoint" for index in range(2)]
    parts = [Part(folder, f"instance-{index}/") for index, folder in enumerate(folders)]
    watch = watch_of(storage, [Part(fill(one.folder, {}), one.prefix) for one in parts], there, told)
    fill(folders[0], {"shard-0": b"0"})
    watch.tick(0)
    fill(folders[1], {"shard-1": b"1"})
    assert [watch.tick(now) for now in (1, 2, 3)] == [None] * 3
    done = watch.tick(1 + STILL_TOGETHER_SECONDS)
    assert done is not None
    manifest = read_manifest(storage, parse(done.path, 2048))
    assert manifest.instances == 2
    assert [file.path for file in manifest.files] == ["instance-0/shard-0", "instance-1/shard-1"]
    assert len(list(there.glob("*.committed"))) == 1


def test_nothing_is_sent_by_who_may_have_slept_past_the_lease(
    storage: Storage, folder: Path, there: Path, told: list[Committed]
):
    """Where the attempt is not its own any more nothing comes to any place, and nothing there goes."""

    def given_up() -> None:
        raise Permanent("This attempt was given up.")

    other = fill(there / "attempt-1" / "checkpoint-1")
    earlier = [f"file://{other}"]
    watch = watch_of(
        storage, [Part(folder)], there / "attempt-2", told, keep=1, earlier=[*earlier, "x"], make_sure=given_up
    )
    fill(folder)
    with pytest.raises(Permanent):
        watch.finish()
    with pytest.raises(Permanent):
        watch.forget_old()
    assert content(other) == FILES
    assert not (there / "attempt-2").exists()
    assert told == []
