"""What only folders of this machine have: links, rights, mounts, the platform's own folder."""

from collections.abc import Callable
from pathlib import Path

import pytest

from blocks.storage import Storage, parse
from blocks.storage.access import Wanted, check
from blocks.storage.errors import AccessDenied, BadPath, StorageError, Unreachable, Unsafe
from blocks.storage.walk import PARTIAL


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    (tmp_path / "mount").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("s")
    return tmp_path / "mount"


def test_a_link_out_of_the_mount_is_refused_by_every_operation(mount: Path) -> None:
    """No operation reads, writes or deletes through a link that leaves the mount."""
    storage = Storage({}, {"nas": mount})
    (mount / "out").symlink_to(mount.parent / "outside")
    for operation in (
        lambda: list(storage.entries(parse("nas://nas:/out"))),
        lambda: storage.stat(parse("nas://nas:/out/secret")),
        lambda: storage.read(parse("nas://nas:/out/secret")),
        lambda: storage.write(parse("nas://nas:/out/new"), b"x"),
        lambda: storage.delete(parse("nas://nas:/out/secret")),
        lambda: storage.upload(mount.parent / "outside", parse("nas://nas:/out/copy")),
        lambda: storage.download(parse("nas://nas:/out"), mount.parent / "copy"),
        lambda: storage.probe(parse("nas://nas:/out"), write=True),
    ):
        with pytest.raises(Unsafe, match="leads out of its mount"):
            operation()
    assert [path.name for path in (mount.parent / "outside").iterdir()] == ["secret"]


def test_a_link_in_a_folder_is_not_downloaded_when_it_leaves(mount: Path, tmp_path: Path) -> None:
    """A download passes over links that leave the mount, and says so."""
    (mount / "out").symlink_to(mount.parent / "outside")
    (mount / "data").write_text("d")
    answer = Storage({}, {"nas": mount}).download(parse("nas://nas:/"), tmp_path / "copy")
    assert answer.files == 1 and answer.skipped == ("out: a link that leaves the folder",)


def test_a_mount_that_is_away_says_nothing_of_what_it_holds(tmp_path: Path) -> None:
    """A NAS whose folder is not mounted is Unreachable to every operation, with where it should be; none makes it."""
    gone, beside = tmp_path / "gone", tmp_path / "beside"
    beside.mkdir()
    (beside / "x").write_text("x")
    storage, place = Storage({}, {"nas": gone}), parse("nas://nas:/x")
    for operation in (
        lambda: list(storage.entries(place)),
        lambda: storage.stat(place),
        lambda: storage.read(place),
        lambda: storage.mounted(place),
        lambda: storage.write(place, b"x"),
        lambda: storage.copy(place, place / "copy"),
        lambda: storage.delete(place),
        lambda: storage.upload(beside, place),
        lambda: storage.download(place, tmp_path / "copy"),
        lambda: storage.probe(place, write=False),
        lambda: storage.probe(place, write=True),
        lambda: storage.ensure_container(place),
    ):
        with pytest.raises(Unreachable, match=f"lies on {gone}, which is no folder now"):
            operation()
    assert not gone.exists()


def test_a_mount_that_is_away_says_what_a_request_can_do(tmp_path: Path) -> None:
    """Who asks for a place on it is told where it should be mounted, and not that its files are missing."""
    storage = Storage({}, {"nas": tmp_path / "gone"})
    wanted = [Wanted("nas://nas:/data", "data", write=False), Wanted("nas://nas:/output", "output", write=True)]
    told = [(fault.field, fault.problem, fault.remedy) for fault in check(storage, wanted)]
    assert told == [
        (one.field, f"{one.path} lies on {tmp_path / 'gone'}, which is no folder now.", "Mount it there.")
        for one in wanted
    ]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """The platform's own folder, and a link to it in a folder beside it."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "secrets.env").write_text("KEY=value")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x").write_text("x")
    (tmp_path / "data" / "link").symlink_to(tmp_path / "own")
    return tmp_path / "own"


@pytest.mark.parametrize("start", ["file://{}", "nas://nas:"])
@pytest.mark.parametrize("path", ["/own", "/own/secrets.env", "/own/new", "/data/link", "/data/link/secrets.env"])
def test_the_platforms_own_folder_is_closed(own: Path, tmp_path: Path, start: str, path: str) -> None:
    """No operation on a disk or a mount reaches into the platform's folder, also not through a link."""
    storage, place = Storage({}, {"nas": tmp_path}, [own]), parse(start.format(tmp_path) + path, limit=2048)
    for operation in (
        lambda: list(storage.entries(place)),
        lambda: storage.stat(place),
        lambda: storage.read(place),
        lambda: storage.write(place, b"new"),
        lambda: storage.download(place, tmp_path / "copy"),
        lambda: storage.upload(tmp_path / "data", place),
        lambda: storage.delete(place),
        lambda: storage.probe(place, write=False),
        lambda: storage.probe(place, write=True),
        lambda: storage.ensure_container(place),
    ):
        with pytest.raises(Unsafe, match="own folder"):
            operation()
    assert [(file.name, file.read_text()) for file in own.iterdir()] == [("secrets.env", "KEY=value")]


@pytest.mark.parametrize("start", ["file://{}", "nas://nas:"])
def test_what_is_around_the_platforms_own_folder_is_closed(own: Path, tmp_path: Path, start: str) -> None:
    """A folder that holds the platform's is neither read nor deleted; what lies beside the platform's is open."""
    storage = Storage({}, {"nas": tmp_path.parent}, [own])
    around = parse(f"{start.format(tmp_path.parent)}/{tmp_path.name}", limit=2048)
    for operation in (
        lambda: list(storage.entries(around)),
        lambda: storage.delete(around),
        lambda: storage.probe(around, write=False),
    ):
        with pytest.raises(Unsafe, match="own folder"):
            operation()
    assert storage.read(around / "data/x") == b"x"


def test_no_link_is_followed_into_the_platforms_own_folder(own: Path, tmp_path: Path) -> None:
    """A link inside the mount that leads into, or around, the platform's folder is left out and named."""
    (tmp_path / "data" / "up").symlink_to(tmp_path)
    answer = Storage({}, {"nas": tmp_path}, [own]).download(parse("nas://nas:/data"), tmp_path / "copy")
    assert answer.files == 1
    assert [text.partition(":")[0] for text in answer.skipped] == ["link", "up"]
    assert all("platform's own folder" in text for text in answer.skipped)


def test_the_platforms_own_folder_is_no_data_set(own: Path, tmp_path: Path) -> None:
    """A mount's folder in or around the platform's is not handed to a script either."""
    storage = Storage({}, {"nas": tmp_path}, [own])
    assert storage.mounted(parse("nas://nas:/data")) == tmp_path / "data"
    for text in ("nas://nas:/own", "nas://nas:/", "nas://nas:/data/link"):
        with pytest.raises(Unsafe, match="own folder"):
            storage.mounted(parse(text))


def test_no_rights_is_access_denied_with_a_remedy(tmp_path: Path, unprivileged: Callable[[], None]) -> None:
    """A folder of somebody else is AccessDenied to read, write and delete; the message says who needs the right."""
    folder = tmp_path / "closed"
    folder.mkdir()
    (folder / "x").write_text("x")
    folder.chmod(0)
    storage, place = Storage({}, {}), parse(f"file://{folder}", limit=2048)
    unprivileged()
    for operation in (
        lambda: storage.probe(place, write=False),
        lambda: storage.probe(place, write=True),
        lambda: storage.write(place / "y", b"y"),
        lambda: storage.read(place / "x"),
    ):
        with pytest.raises(AccessDenied, match=r"Grant it to the user \d+"):
            operation()


@pytest.mark.parametrize("text", ["file:///dev/null/x", "file:///proc/self/" + "n" * 300])
def test_no_os_error_leaks(text: str) -> None:
    """What the operating system refuses for odd reasons is a StorageError too."""
    storage, place = Storage({}, {}), parse(text, limit=2048)
    for operation in (
        lambda: storage.write(place, b"x"),
        lambda: storage.read(place),
        lambda: storage.probe(place, write=True),
        lambda: storage.ensure_container(place),
    ):
        with pytest.raises(StorageError):
            operation()


def test_a_half_written_file_is_not_listed(mount: Path) -> None:
    """What a killed writer left under its temporary name is no entry."""
    (mount / f".123{PARTIAL}").write_text("half")
    assert list(Storage({}, {"nas": mount}).entries(parse("nas://nas:/"))) == []


def test_a_fifo_is_never_read(mount: Path) -> None:
    """Reading something that is no file answers at once."""
    import os

    os.mkfifo(mount / "fifo")
    with pytest.raises(BadPath):
        Storage({}, {"nas": mount}).read(parse("nas://nas:/fifo"))


def test_a_whole_mount_is_never_deleted(mount: Path) -> None:
    """Deleting the root of a mount is refused."""
    (mount / "x").write_text("x")
    with pytest.raises(Unsafe):
        Storage({}, {"nas": mount}).delete(parse("nas://nas:/"))
    assert (mount / "x").exists()


def test_deleting_a_link_leaves_what_it_leads_to(mount: Path) -> None:
    """A link inside the mount is removed, its end stays."""
    (mount / "real").mkdir()
    (mount / "real" / "x").write_text("x")
    (mount / "link").symlink_to("real")
    Storage({}, {"nas": mount}).delete(parse("nas://nas:/link"))
    assert (mount / "real" / "x").exists() and not (mount / "link").exists()
