"""What only object stores have: markers of folders, parts, hostile keys, containers."""

import os
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from blocks.storage import Endpoint, Location, Storage, object_store, s3_delete
from blocks.storage.errors import AccessDenied, BadPath, NotFound, Unreachable, Unsafe
from blocks.storage.s3_client import connect
from blocks.storage.s3_transfer import CHUNK, PARTS, chunk
from tests.blocks.storage.conftest import SECRET, content, free_port, object_storage


def put(swift: Endpoint, container: Location, key: str, data: bytes = b"", **more: Any) -> None:
    connect(swift).put_object(Bucket=container.container, Key=key, Body=data, **more)


@pytest.mark.parametrize("size", [0, 1, CHUNK, CHUNK * PARTS, CHUNK * PARTS + 1, 10**12])
def test_no_object_has_too_many_parts(size: int) -> None:
    """Any size makes at most 1,000 parts, none below 32 MiB."""
    assert chunk(size) >= CHUNK and -(-size // chunk(size)) <= PARTS


def test_a_large_file_goes_in_parts(swift: Endpoint, on_objects: Storage, container: Location, tmp_path: Path) -> None:
    """A file above one part goes in parts, comes back the same, and is deleted like any other."""
    data = os.urandom(1024) * 1024 * 70
    (tmp_path / "large").write_bytes(data)
    on_objects.upload(tmp_path / "large", container / "large")
    assert parts(swift, container) == 3
    on_objects.download(container / "large", tmp_path / "back")
    assert (tmp_path / "back" / "large").read_bytes() == data
    on_objects.delete(container / "large")
    assert list(on_objects.entries(container)) == []  # the store itself removes the parts, later


def parts(swift: Endpoint, container: Location) -> int:
    """How many parts the store keeps for a container, asked by its own API: S3's hides them."""
    login = {"X-Auth-User": swift.access_key, "X-Auth-Key": swift.secret_key.get_secret_value()}
    token = httpx.get(f"{swift.url}/auth/v1.0", headers=login).raise_for_status().headers["X-Auth-Token"]
    url = f"{swift.url}/v1/AUTH_easymaker/{container.container}+segments"
    return len(httpx.get(url, headers={"X-Auth-Token": token}).raise_for_status().text.split())


def test_an_upload_that_was_never_finished_is_removed_with_its_folder(
    swift: Endpoint, on_objects: Storage, container: Location
) -> None:
    """Parts that a killed process left go when the folder is deleted; a neighbour's stay."""
    client = connect(swift)
    for key in ("run/1/model", "run/10/model"):
        started = client.create_multipart_upload(Bucket=container.container, Key=key)
        client.upload_part(
            Bucket=container.container, Key=key, PartNumber=1, UploadId=started["UploadId"], Body=b"part"
        )
    on_objects.delete(container / "run/1")
    left = client.list_multipart_uploads(Bucket=container.container).get("Uploads", [])
    assert [upload.get("Key") for upload in left] == ["run/10/model"]


def test_more_than_one_page_and_one_batch(
    on_objects: Storage, container: Location, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More objects than one page of a list or one batch of a delete holds are all found, and all deleted."""
    monkeypatch.setattr(object_store, "PAGE", 5)
    monkeypatch.setattr(s3_delete, "BATCH", 7)
    for number in range(23):
        (tmp_path / f"{number:05}").write_bytes(b"x")
    on_objects.upload(tmp_path, container / "many")
    assert sum(1 for _ in on_objects.entries(container / "many")) == 23
    on_objects.delete(container / "many")
    assert list(on_objects.entries(container)) == []


def test_markers_of_folders_are_no_files(
    swift: Endpoint, on_objects: Storage, container: Location, tmp_path: Path
) -> None:
    """Empty objects that consoles make for folders neither count as files nor hinder a download."""
    put(swift, container, "set/")
    put(swift, container, "set", ContentType="application/directory")
    put(swift, container, "set/sub")
    put(swift, container, "set/sub/x", b"x")
    put(swift, container, "set/empty")
    assert on_objects.stat(container / "set") is None
    assert on_objects.stat(container / "set/empty") is not None
    assert on_objects.download(container / "set", tmp_path).files == 2
    assert (tmp_path / "sub" / "x").read_bytes() == b"x"
    on_objects.delete(container / "set")
    assert connect(swift).list_objects_v2(Bucket=container.container)["KeyCount"] == 0


def test_an_empty_object_takes_the_place_of_what_was_there(
    on_objects: Storage, container: Location, tmp_path: Path
) -> None:
    """A file or a link where an empty object lands is replaced; what the link led to stays as it was."""
    for name in ("file", "link"):
        on_objects.write(container / f"set/{name}", b"")
    target = tmp_path / "target"
    target.mkdir()
    (target / "file").write_bytes(b"old")
    (tmp_path / "elsewhere").write_bytes(b"kept")
    (target / "link").symlink_to(tmp_path / "elsewhere")
    on_objects.download(container / "set", target)
    assert content(target) == {"file": b"", "link": b""}
    assert not (target / "link").is_symlink() and (tmp_path / "elsewhere").read_bytes() == b"kept"


def test_an_empty_folder_has_nothing_to_read(swift: Endpoint, on_objects: Storage, container: Location) -> None:
    """A folder that is only a marker does not pass the probe."""
    put(swift, container, "set", ContentType="application/directory")
    put(swift, container, "set/")
    with pytest.raises(NotFound):
        on_objects.probe(container / "set", write=False)


@pytest.mark.parametrize("key", ["set/../../escape", "set//absolute", "set/a\x01b", "set/\n"])
def test_hostile_keys_are_not_downloaded_and_can_be_deleted(
    swift: Endpoint, on_objects: Storage, container: Location, tmp_path: Path, key: str
) -> None:
    """A key that would leave the folder is refused before a byte is written, and goes with its folder."""
    put(swift, container, "set/good", b"x")
    put(swift, container, key, b"x")
    with pytest.raises(Unsafe):
        on_objects.download(container / "set", tmp_path / "target")
    assert not (tmp_path / "target").exists() and list(tmp_path.iterdir()) == []
    on_objects.delete(container / "set")
    assert connect(swift).list_objects_v2(Bucket=container.container)["KeyCount"] == 0


def test_a_missing_container_says_how_to_make_it(on_objects: Storage, container: Location) -> None:
    """Every operation in a container that is not there is NotFound; the remedy names the command."""
    missing = Location("obs", container.authority, "not-there", "x")
    for operation in (
        lambda: list(on_objects.entries(missing)),
        lambda: on_objects.read(missing),
        lambda: on_objects.write(missing, b""),
        lambda: on_objects.delete(missing),
        lambda: on_objects.probe(missing, write=False),
        lambda: on_objects.probe(missing, write=True),
        lambda: on_objects.upload(Path(__file__), missing),
        lambda: on_objects.download(missing, Path("never-made")),
    ):
        with pytest.raises(NotFound, match=f"emf storage make obs://{container.authority}/not-there`"):
            operation()


def test_a_place_that_cannot_be_written_to_says_so(on_objects: Storage, container: Location) -> None:
    """The probe of a missing container tells of the writing that failed, not of tidying up after it."""
    with pytest.raises(NotFound, match=r"^Could not write below obs://.*/not-there/x: there is no container"):
        on_objects.probe(Location("obs", container.authority, "not-there", "x"), write=True)


def test_a_container_is_made_once(on_objects: Storage, container: Location) -> None:
    """Making a container that is there keeps what is in it."""
    on_objects.write(container / "x", b"x")
    on_objects.ensure_container(container)
    assert on_objects.read(container / "x") == b"x"


def test_a_whole_container_is_never_deleted(on_objects: Storage, container: Location) -> None:
    """Deleting a container's root is refused."""
    with pytest.raises(Unsafe):
        on_objects.delete(container)


@pytest.mark.parametrize(
    "wrong", [{"secret_key": SecretStr("not-this")}, {"access_key": "easymaker:nobody"}, {"access_key": "nobody"}]
)
def test_wrong_keys_are_access_denied(
    swift: Endpoint, container: Location, tmp_path: Path, wrong: dict[str, Any]
) -> None:
    """With wrong keys every operation is AccessDenied, says where the keys stand, and shows none."""
    storage = object_storage(swift.model_copy(update=wrong))
    for operation in operations(storage, container / "x", tmp_path):
        with pytest.raises(AccessDenied) as caught:
            operation()
        assert "secrets.env" in str(caught.value)
        assert not any(key in str(caught.value) for key in ("not-this", "nobody", SECRET))


def test_a_server_that_is_away_is_temporary(tmp_path: Path) -> None:
    """Where nobody listens every operation is Unreachable."""
    port = free_port()
    endpoint = Endpoint(url=f"http://127.0.0.1:{port}", access_key="a:b", secret_key=SecretStr("c"))
    place = Location("obs", f"127.0.0.1:{port}", "data", "x")
    for operation in operations(object_storage(endpoint), place, tmp_path):
        with pytest.raises(Unreachable, match="does not answer"):
            operation()


def operations(storage: Storage, place: Location, folder: Path) -> list[Any]:
    """Every operation on `place`, one call each."""
    (folder / "source").mkdir()
    (folder / "source" / "file").write_text("x")
    return [
        lambda: list(storage.entries(place)),
        lambda: storage.stat(place),
        lambda: storage.read(place),
        lambda: storage.write(place, b"x"),
        lambda: storage.write(place, b"x", only_if_absent=True),
        lambda: storage.upload(folder / "source", place),
        lambda: storage.download(place, folder / "target"),
        lambda: storage.delete(place),
        lambda: storage.probe(place, write=False),
        lambda: storage.probe(place, write=True),
        lambda: storage.ensure_container(place),
    ]


def test_an_output_folder_that_is_a_file_is_refused(on_objects: Storage, container: Location) -> None:
    """A path that is an object cannot be written below."""
    on_objects.write(container / "x", b"x")
    with pytest.raises(BadPath):
        on_objects.probe(container / "x", write=True)
