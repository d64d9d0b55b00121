"""The keeper: checkpoints are noticed, copied at rest, committed, told, and only the newest kept."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.storage.errors import BadPath, Unreachable
from blocks.storage.location import Location, parse
from blocks.storage.storage import Storage
from flows.training import keeper as keeping
from flows.training.checkpoint import Committed, fetch, look
from flows.training.keeper import KEEP, MOVING_SECONDS, Keeper, is_due, snapshot
from tests.flows.training.folders import FILES, content, fill

A, B = {"a": (1, 1)}, {"a": (1, 2)}
TRAINING = "tr-0123456789ab"


@pytest.mark.parametrize(
    ("current", "previous", "committed", "moving", "due"),
    [
        ({}, {}, {}, 0, False),  # nothing there
        ({}, {}, A, 99, False),  # all of it was removed: nothing to keep
        (A, {}, {}, 0, False),  # just appeared
        (A, A, {}, 1, True),  # new, and at rest
        (A, A, A, 0, False),  # kept already
        (B, A, A, 1, False),  # changing
        (B, B, A, 1, True),  # changed, and at rest
        (B, A, A, MOVING_SECONDS - 0.1, False),
        (B, A, A, MOVING_SECONDS, True),  # never rests
        (A, B, A, 99, False),  # went back to what is kept
    ],
)
def test_when_a_checkpoint_is_due(current: dict, previous: dict, committed: dict, moving: float, due: bool):
    """What is new and rests, or has not rested for long."""
    assert is_due(current, previous, committed, moving) == due


SIGNATURES = st.dictionaries(st.sampled_from("abc"), st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=3)


@given(SIGNATURES, SIGNATURES, SIGNATURES, st.floats(0, 30))
def test_nothing_is_kept_twice(current: dict, previous: dict, committed: dict, moving: float):
    """Neither an empty folder nor one that is as committed is ever due."""
    if is_due(current, previous, committed, moving):
        assert current
        assert current != committed


def test_a_snapshot_is_the_whole_folder(folder: Path, tmp_path: Path):
    """Every file with its bytes; what an earlier snapshot left is gone."""
    fill(folder)
    fill(tmp_path / "copy", {"old": b"old"})
    assert snapshot(folder, tmp_path / "copy") == look(folder)
    assert content(tmp_path / "copy") == FILES


@pytest.mark.parametrize("what", ["grows", "vanishes", "appears"])
def test_a_snapshot_of_what_moves_is_none(what: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A file that changes, goes or comes while it is copied: no snapshot, and no copy is left."""
    fill(folder)
    copy = keeping.shutil.copy2

    def copying(source: Path, target: Path) -> None:
        """The script goes on while the first file is copied."""
        if what == "grows":
            source.write_bytes(source.read_bytes() + b"more")
        elif what == "appears":
            (folder / "new").write_bytes(b"new")
        else:
            source.unlink(missing_ok=True)
        copy(source, target)

    monkeypatch.setattr(keeping.shutil, "copy2", copying)
    assert snapshot(folder, tmp_path / "copy") is None
    assert not (tmp_path / "copy").exists()


class Failing(Storage):
    """A real storage whose next calls of one verb break off after, or before, they did their work."""

    def __init__(self, verb: str, suffix: str, *, after: bool) -> None:
        super().__init__({}, {})
        self.verb, self.suffix, self.after, self.times = verb, suffix, after, 0

    def _broken(self, verb: str, place: Location, work: Callable[[], object]) -> object:
        fails = self.times > 0 and verb == self.verb and str(place).endswith(self.suffix)
        answer = work() if self.after or not fails else None
        if fails:
            self.times -= 1
            raise Unreachable("the answer was lost")
        return answer

    def write(self, place: Location, data: bytes, only_if_absent: bool = False) -> None:
        self._broken("write", place, lambda: Storage.write(self, place, data, only_if_absent))

    def upload(self, source: Path, place: Location, progress=None, skip=None):
        return self._broken("upload", place, lambda: Storage.upload(self, source, place, progress, skip))


@pytest.fixture
def told() -> list[Committed]:
    return []


def keeper(storage: Storage, folder: Path, there: Path, told: list[Committed]) -> Keeper:
    return Keeper(storage, folder, f"file://{there}", f"{TRAINING}-a1", told.append)


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
    assert fetch(storage, told[0].path, tmp_path / "back")


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
    assert fetch(storage, told[0].path, tmp_path / "back")
    assert content(tmp_path / "back") == {"a.pt": b"1", "last.pt": b"1"}
    assert watch.finish() is None


def test_the_copy_stays_until_its_commit_was_told(storage: Storage, folder: Path, there: Path):
    """To whom a run that is killed before could not tell of it, the copy proves that the folder is whole."""
    copy, copies = folder.parent / "checkpoint-copy", list[dict[str, bytes]]()
    watch = Keeper(storage, folder, f"file://{there}", f"{TRAINING}-a1", lambda _done: copies.append(content(copy)))
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


def test_only_the_newest_are_kept(storage: Storage, folder: Path, there: Path, told: list[Committed]):
    """Of five checkpoints three are left, whole with marker and manifest; of the others nothing is."""
    watch = keeper(storage, folder, there, told)
    for number in range(5):
        fill(folder, {"step": b"x" * (number + 1)})
        watch.finish()
    assert [one.number for one in told] == [1, 2, 3, 4, 5]
    left = {file.name for file in there.iterdir()}
    assert left == {f"checkpoint-{n}{end}" for n in (3, 4, 5) for end in ("", ".manifest.json", ".committed")}
    assert [one.number for one in watch.kept] == [3, 4, 5]
    assert len(watch.kept) == KEEP


def test_one_that_could_not_be_deleted_is_deleted_later(
    storage: Storage, folder: Path, there: Path, told: list[Committed], monkeypatch: pytest.MonkeyPatch
):
    """A store that is away as a checkpoint grows old leaves nothing of it behind, once it is back."""
    watch = keeper(storage, folder, there, told)

    def away(*_: object) -> None:
        raise Unreachable("The store is away.")

    for number in range(KEEP):
        fill(folder, {"step": b"x" * (number + 1)})
        watch.finish()
    fill(folder, {"step": b"last"})
    with monkeypatch.context() as patch:
        patch.setattr(storage, "delete", away)
        with pytest.raises(Unreachable):
            watch.finish()
    watch.finish()
    assert [one.number for one in watch.kept] == [2, 3, 4]
    assert not list(there.glob("checkpoint-1*"))


def test_an_empty_folder_after_a_checkpoint_takes_nothing_away(
    storage: Storage, folder: Path, there: Path, told: list[Committed], tmp_path: Path
):
    """A script that clears its folder keeps what was committed."""
    watch = keeper(storage, folder, there, told)
    fill(folder, {"a": b"1"})
    watch.finish()
    (folder / "a").unlink()
    assert [watch.tick(now) for now in (0, 1, 99)] == [None] * 3
    assert fetch(storage, told[0].path, tmp_path / "back")


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
    assert fetch(storage, told[0].path, tmp_path / "back")
    assert content(tmp_path / "back") == {"new.pt": b"new"}


def test_a_long_path_has_room_for_checkpoints(storage: Storage, folder: Path, there: Path, told: list[Committed]):
    """A checkpoint path of the 255 characters that are allowed works with what the platform adds to it."""
    root = f"file://{there}"
    while len(root) < 255:
        root += "/" + "p" * min(100, 254 - len(root)) if len(root) < 254 else "p"
    assert len(root) == 255
    watch = Keeper(storage, folder, f"{root}/{TRAINING}/attempt-1", f"{TRAINING}-a1", told.append)
    fill(folder)
    watch.finish()
    assert told[0].path == f"{root}/{TRAINING}/attempt-1/checkpoint-1"
    with pytest.raises(BadPath):
        parse(told[0].path)
