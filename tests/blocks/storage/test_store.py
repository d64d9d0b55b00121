"""The one interface, for every kind of storage: object store, NAS, this machine's disk."""

import threading
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from blocks.storage import Location, Storage
from blocks.storage.errors import AlreadyThere, BadPath, Changed, NotFound, StorageError, Unsafe
from tests.blocks.storage.conftest import FILES, content

Anywhere = tuple[Storage, Location]


def keys(storage: Storage, place: Location) -> list[str]:
    return sorted(entry.key for entry in storage.entries(place))


def test_what_is_written_is_read(anywhere: Anywhere) -> None:
    """A written file is read back, has its size, and a time of now."""
    storage, place = anywhere
    storage.write(place / "데이터/a b%20c.txt", b"value")
    assert storage.read(place / "데이터/a b%20c.txt") == b"value"
    entry = storage.stat(place / "데이터/a b%20c.txt")
    assert entry is not None and (entry.key, entry.size) == ("a b%20c.txt", 5)
    assert abs(entry.modified - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_write_replaces(anywhere: Anywhere) -> None:
    """A second write takes the place of the first."""
    storage, place = anywhere
    storage.write(place / "x", b"1")
    storage.write(place / "x", b"2")
    assert storage.read(place / "x") == b"2"


def test_nothing_there(anywhere: Anywhere) -> None:
    """What is not there: no entries, no stat, NotFound to read and download, nothing to delete."""
    storage, place = anywhere
    assert list(storage.entries(place)) == []
    assert storage.stat(place / "x") is None
    with pytest.raises(NotFound):
        storage.read(place / "x")
    with pytest.raises(NotFound):
        storage.download(place, Path("never-made"))
    assert not Path("never-made").exists()
    storage.delete(place / "x")


def test_a_folder_is_no_file(anywhere: Anywhere) -> None:
    """A folder has no stat and cannot be read or written as a file."""
    storage, place = anywhere
    storage.write(place / "folder/x", b"1")
    assert storage.stat(place / "folder") is None
    for attempt in (lambda: storage.read(place / "folder/"), lambda: storage.write(place / "folder/", b"")):
        with pytest.raises(BadPath):
            attempt()
    with pytest.raises(StorageError):
        storage.read(place / "folder")


def test_a_read_has_a_limit(anywhere: Anywhere) -> None:
    """More bytes than the limit are refused, exactly as many are read."""
    storage, place = anywhere
    storage.write(place / "x", b"12345")
    assert storage.read(place / "x", limit=5) == b"12345"
    with pytest.raises(Unsafe, match="4"):
        storage.read(place / "x", limit=4)


def test_only_the_first_may_write(anywhere: Anywhere) -> None:
    """With only_if_absent the second writer is told, and the first's content stays."""
    storage, place = anywhere
    storage.write(place / "marker", b"first", only_if_absent=True)
    with pytest.raises(AlreadyThere):
        storage.write(place / "marker", b"second", only_if_absent=True)
    assert storage.read(place / "marker") == b"first"


def test_of_many_at_once_one_writes(anywhere: Anywhere) -> None:
    """Of eight that write the same marker in one instant one is told so, and its content stays.

    Swift looks before it writes: there a second one may have been told so, which was overwritten a moment later.
    """
    storage, place = anywhere
    won: list[bytes] = []
    together = threading.Barrier(8)

    def claim(who: bytes) -> None:
        together.wait(20)
        try:
            storage.write(place / "marker", who, only_if_absent=True)
            won.append(who)
        except AlreadyThere:
            pass

    threads = [threading.Thread(target=claim, args=(bytes([65 + number]),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert storage.read(place / "marker") in won
    assert len(won) == 1 or place.scheme == "obs"
    with pytest.raises(AlreadyThere):
        storage.write(place / "marker", b"late", only_if_absent=True)


def test_a_folder_goes_up_and_comes_down_the_same(anywhere: Anywhere, tree: Path, tmp_path: Path) -> None:
    """A folder that was uploaded and downloaded has the same files and bytes; both answers count them."""
    storage, place = anywhere
    up = storage.upload(tree, place / "copy")
    down = storage.download(place / "copy", tmp_path / "back")
    assert content(tmp_path / "back") == FILES
    assert keys(storage, place / "copy") == sorted(FILES) == keys(storage, place / "copy/")
    total = sum(map(len, FILES.values()))
    assert (up.files, up.bytes, up.skipped) == (down.files, down.bytes, down.skipped) == (len(FILES), total, ())


def test_progress_ends_at_the_total(anywhere: Anywhere, tree: Path, tmp_path: Path) -> None:
    """Progress never passes the total, which is the bytes of all files, and reaches it in both directions."""
    storage, place = anywhere
    for direction in ("up", "down"):
        told: list[tuple[int, int]] = []
        progress = partial(record, told)
        if direction == "up":
            total = storage.upload(tree, place, progress).bytes
        else:
            total = storage.download(place, tmp_path / "back", progress).bytes
        assert told[-1] == (total, total)
        assert all(done <= total == of for done, of in told)


def record(told: list[tuple[int, int]], done: int, total: int) -> None:
    told.append((done, total))


def test_one_file_goes_to_the_location_or_into_the_folder(anywhere: Anywhere, tree: Path, tmp_path: Path) -> None:
    """A file goes to the exact location, or under its own name where that ends in a slash; it comes into the folder."""
    storage, place = anywhere
    storage.upload(tree / "model.bin", place / "renamed")
    storage.upload(tree / "model.bin", place / "into/")
    assert keys(storage, place) == ["into/model.bin", "renamed"]
    assert keys(storage, place / "renamed") == ["renamed"]
    down = storage.download(place / "renamed", tmp_path / "back")
    assert content(tmp_path / "back") == {"renamed": FILES["model.bin"]}
    assert down.files == 1


def test_what_skip_names_stays_here(anywhere: Anywhere, tree: Path) -> None:
    """`skip` is asked with relative paths; a folder that it names is not entered."""
    storage, place = anywhere
    storage.upload(tree, place, skip=lambda key: key in {"deep", "empty"})
    assert keys(storage, place) == ["model.bin", "데이터/한글 파일.txt"]


def test_links_that_leave_are_named_and_not_uploaded(anywhere: Anywhere, tree: Path) -> None:
    """A link out of the folder is not copied; the answer says so."""
    storage, place = anywhere
    (tree / "stolen").symlink_to("/etc/passwd")
    answer = storage.upload(tree, place)
    assert keys(storage, place) == sorted(FILES)
    assert [line.partition(":")[0] for line in answer.skipped] == ["stolen"]


def test_a_file_that_vanishes_is_named(anywhere: Anywhere, tree: Path) -> None:
    """A file that goes away while the folder is uploaded ends the upload with its name, as something to try again."""
    storage, place = anywhere

    def take_away(key: str) -> bool:
        if key == "model.bin":  # walks are in order: `empty` was found before
            (tree / "empty").unlink(missing_ok=True)
        return False

    with pytest.raises(Changed, match="empty"):
        storage.upload(tree, place, skip=take_away)


def test_a_missing_source_is_not_found(anywhere: Anywhere, tmp_path: Path) -> None:
    """Uploading what is not on this machine is NotFound."""
    storage, place = anywhere
    with pytest.raises(NotFound):
        storage.upload(tmp_path / "nothing", place)


def test_delete_removes_the_folder_and_no_neighbour(anywhere: Anywhere, tree: Path) -> None:
    """A folder is deleted whole, again without error, and what only starts with its name stays."""
    storage, place = anywhere
    storage.upload(tree, place / "attempt-1")
    storage.write(place / "attempt-10/x", b"x")
    storage.write(place / "attempt-1" / place.name / "attempt-1", b"a name like its folder's")
    storage.delete(place / "attempt-1")
    storage.delete(place / "attempt-1")
    storage.delete(place / "attempt-10/y/")
    assert list(storage.entries(place / "attempt-1")) == []
    assert keys(storage, place) == ["attempt-10/x"]


def test_probe_to_read_wants_a_file(anywhere: Anywhere) -> None:
    """Reading is possible where at least one file is: below a folder, or the file itself, empty or not."""
    storage, place = anywhere
    with pytest.raises(NotFound):
        storage.probe(place, write=False)
    storage.write(place / "deep/x", b"x")
    storage.write(place / "empty", b"")
    for name in ("deep", "deep/", "deep/x", "empty"):
        storage.probe(place / name, write=False)


def test_probe_to_write_leaves_nothing(anywhere: Anywhere) -> None:
    """The probe of a place that is not there yet succeeds and leaves neither file nor folder."""
    storage, place = anywhere
    storage.probe(place / "new/er", write=True)
    assert list(storage.entries(place)) == []
    if place.scheme != "obs":
        root = Path("/") / str(place).removeprefix("file:///") if place.scheme == "file" else None
        assert root is None or not root.exists()


def test_a_file_is_no_place_to_write_below(anywhere: Anywhere) -> None:
    """A location that is a file is refused as an output folder, and stays."""
    storage, place = anywhere
    storage.write(place / "x", b"x")
    with pytest.raises(BadPath):
        storage.probe(place / "x", write=True)
    assert keys(storage, place) == ["x"]


@pytest.mark.parametrize("name", ["model.bin", "empty", "데이터/한글 파일.txt", "deep/er/100%25+a b&c.txt"])
def test_what_is_copied_there_is_the_same(anywhere: Anywhere, tree: Path, name: str) -> None:
    """Under its new name it has the same bytes, over what was there; and stays when the first one goes."""
    storage, place = anywhere
    storage.upload(tree, place / "first")
    storage.write(place / "second" / name, b"older")
    storage.copy(place / "first" / name, place / "second" / name)
    storage.delete(place / "first/")
    assert storage.read(place / "second" / name) == FILES[name]
    assert keys(storage, place) == [f"second/{name}"]


def test_a_copy_of_nothing_is_told(anywhere: Anywhere) -> None:
    """What is not there cannot be copied, and nothing is made of it."""
    storage, place = anywhere
    with pytest.raises(NotFound):
        storage.copy(place / "nothing", place / "second")
    assert keys(storage, place) == []


def test_a_copy_does_not_follow_its_source(anywhere: Anywhere) -> None:
    """Whoever replaces the one by writing it anew leaves the other as it was."""
    storage, place = anywhere
    storage.write(place / "first", b"1")
    storage.copy(place / "first", place / "second")
    storage.write(place / "first", b"2")
    assert storage.read(place / "second") == b"1"
