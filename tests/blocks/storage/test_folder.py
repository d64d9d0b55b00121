"""What only folders of this machine have: links, rights, mounts, the platform's own folder."""

from collections.abc import Callable
from pathlib import Path

import pytest

from blocks.storage import Storage, parse
from blocks.storage.errors import AccessDenied, BadPath, NotFound, StorageError, Unsafe
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


def test_a_mount_that_is_gone_is_named(tmp_path: Path) -> None:
    """A NAS whose folder is not mounted is NotFound, with where it should be."""
    storage = Storage({}, {"nas": tmp_path / "gone"})
    with pytest.raises(NotFound, match="gone"):
        storage.probe(parse("nas://nas:/x"), write=True)
    assert not (tmp_path / "gone").exists()


def test_the_platforms_own_folder_is_closed(tmp_path: Path) -> None:
    """No file:// path reaches into the platform's folder, around it, or to it through a link."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "secrets.env").write_text("KEY=value")
    (tmp_path / "link").symlink_to(home)
    storage = Storage({}, {}, [home])
    for text in (f"file://{home}/secrets.env", f"file://{tmp_path}", f"file://{tmp_path}/link/secrets.env"):
        with pytest.raises(Unsafe, match="own folder"):
            list(storage.entries(parse(text, limit=2048)))


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
