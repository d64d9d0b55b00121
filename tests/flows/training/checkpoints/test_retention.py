"""Of what a script saves only what is new is sent, and only the newest kept."""

from pathlib import Path

import pytest

from blocks.storage.errors import Unreachable
from blocks.storage.location import Location, parse
from blocks.storage.storage import Storage
from flows.training.checkpoints.checkpoint import Committed, Known, fetch
from flows.training.checkpoints.manifest import read_manifest
from flows.training.checkpoints.snapshot import Part
from tests.flows.training.checkpoints.keeping import KEEP, keeper, watch_of
from tests.flows.training.folders import content, fill


def test_only_the_newest_are_kept(storage: Storage, folder: Path, there: Path, told: list[Committed]):
    """Of five checkpoints three are left, whole with marker and manifest; of the others nothing is."""
    watch = keeper(storage, folder, there, told)
    for number in range(5):
        fill(folder, {"step": b"x" * (number + 1)})
        watch.finish()
        watch.forget_old()
    assert [one.number for one in told] == [1, 2, 3, 4, 5]
    left = {file.name for file in there.iterdir()}
    assert left == {f"checkpoint-{n}{end}" for n in (3, 4, 5) for end in ("", ".manifest.json", ".committed")}
    assert watch.kept == [one.path for one in told[-KEEP:]]


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
        assert watch.finish()  # and no new one waits for that
        with pytest.raises(Unreachable):
            watch.forget_old()
    watch.forget_old()
    assert watch.kept == [one.path for one in told[1:]]
    assert not list(there.glob("checkpoint-1*"))


def test_what_is_written_again_but_not_new_is_no_checkpoint(
    storage: Storage, folder: Path, there: Path, told: list[Committed]
):
    """The same bytes are no progress, also after a retry has saved what it was started with."""
    watch = keeper(storage, folder, there, told)
    fill(folder)
    watch.finish()
    fill(folder)
    assert watch.finish() is None
    place = parse(told[0].path, 2048)
    before = Known(place, read_manifest(storage, place))
    later = watch_of(storage, [Part(folder)], there, told, before=before)
    fill(folder)
    assert later.finish() is None
    assert len(told) == 1


def test_what_is_unchanged_is_not_sent_twice(
    storage: Storage, folder: Path, there: Path, told: list[Committed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Of a checkpoint that changed in one file only that is uploaded, under whatever names the others lie now."""
    watch, upload, sent = keeper(storage, folder, there, told), storage.upload, list[str]()

    def counting(source: Path, place: Location, progress=None, skip=lambda _name: False):
        sent.extend(name for name in content(source) if not skip(name))
        return upload(source, place, progress, skip)

    fill(folder, {"frozen": b"f" * 9, "step-1/weights": b"1", "step-1/same": b"s"})
    watch.finish()
    monkeypatch.setattr(storage, "upload", counting)
    (folder / "step-1").rename(folder / "step-2")
    fill(folder, {"step-2/weights": b"2"})
    done = watch.finish()
    assert sent == ["step-2/weights"]
    assert done is not None
    assert done.unchanged == 10
    assert fetch(storage, done.path, tmp_path / "back").manifest
    assert content(tmp_path / "back") == {"frozen": b"f" * 9, "step-2/weights": b"2", "step-2/same": b"s"}


def test_what_has_gone_from_the_store_is_sent_again(
    storage: Storage, folder: Path, there: Path, told: list[Committed], tmp_path: Path
):
    """A file of the last checkpoint that somebody removed does not come back as a hole."""
    watch = keeper(storage, folder, there, told)
    fill(folder, {"frozen": b"f", "weights": b"1"})
    watch.finish()
    (there / "checkpoint-1" / "frozen").unlink()
    fill(folder, {"weights": b"2"})
    done = watch.finish()
    assert done is not None
    assert done.unchanged == 0
    assert fetch(storage, done.path, tmp_path / "back").manifest


def test_the_newest_of_the_training_are_kept_whichever_attempt_made_them(
    storage: Storage, folder: Path, there: Path, told: list[Committed]
):
    """What earlier attempts left goes, the oldest first, as new ones come."""
    first = watch_of(storage, [Part(folder)], there / "attempt-1", told)
    for number in range(2):
        fill(folder, {"step": b"x" * (number + 1)})
        first.finish()
    second = watch_of(storage, [Part(folder)], there / "attempt-2", told, keep=2, earlier=[one.path for one in told])
    fill(folder, {"step": b"new"})
    second.finish()
    second.forget_old()
    left = sorted(str(file.relative_to(there)) for file in there.glob("*/*.committed"))
    assert left == ["attempt-1/checkpoint-2.committed", "attempt-2/checkpoint-1.committed"]
