"""Many objects over a line to a real store on which requests fail."""

import os
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from blocks.storage import Endpoint, Location, object_store, rounds, s3_delete, s3_transfer
from blocks.storage.errors import Unreachable
from blocks.storage.s3_client import TRIES
from blocks.storage.s3_round import WINDOW
from blocks.storage.store import THREADS
from tests.blocks.storage.conftest import content, object_storage
from tests.blocks.storage.test_lost_connections import breaking
from tests.platform.faulty_store import faulty

FILES = 300
PART = 5 * 1024 * 1024


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A folder of many small files."""
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(FILES):
        (folder / f"file-{number:03}").write_bytes(b"%d" % number * 100)
    return folder


def test_many_files_come_over_a_line_on_which_a_third_fails(
    swift: Endpoint, container: Location, many: Path, tmp_path: Path
) -> None:
    """All of them go up and come down whole, and the progress ends at all of their bytes, at the first call."""
    told: list[tuple[int, int]] = []
    with faulty(swift.url) as line:

        def progress(done: int, total: int) -> None:
            line.share = 0.3  # not before: what is asked for once is not what this is about
            told.append((done, total))

        storage = object_storage(swift.model_copy(update={"url": line.url}))
        through = Location("obs", line.url.removeprefix("http://"), container.container, "set")
        storage.upload(many, through, progress)
        up, line.share = told[-1], 0.0
        storage.download(through, tmp_path / "back", progress)
        failed = sum(count for fault, count in line.seen.items() if fault != "passed")
    assert content(tmp_path / "back") == content(many)
    assert failed > FILES / 3
    size = sum(len(data) for data in content(many).values())
    assert (up, told[-1]) == ((size, size), (size, size))


class Drops:
    """Loses the answers of the first few requests of one kind; of another kind is what the pattern's group tells."""

    def __init__(self, fits: str, first: int, only: str = ".*") -> None:
        self._fits, self._only = re.compile(fits.encode(), re.DOTALL | re.IGNORECASE), re.compile(only.encode())
        self._first, self.seen = first, Counter[bytes]()

    def __call__(self, request: bytes) -> int | None:
        found = self._fits.match(request)
        if found is None:
            return None
        self.seen[found[1]] += 1
        return 0 if self.seen[found[1]] <= self._first and self._only.fullmatch(found[1]) else None


def in_folder(container: Location, host: str, name: str = "set") -> Location:
    return Location("obs", host, container.container, name)


def test_only_the_file_that_failed_is_sent_again(swift: Endpoint, container: Location, many: Path) -> None:
    """All others are sent once."""
    drops = Drops(r"PUT \S*(file-\d+) ", TRIES + 1, "file-007")
    with breaking(swift, drops) as (storage, host):
        sent = storage.upload(many, in_folder(container, host))
    assert sent.files == FILES
    assert sorted(Counter(drops.seen.values()).items()) == [(1, FILES - 1), (TRIES + 2, 1)]


def test_a_store_that_is_away_is_not_asked_for_every_file(
    swift: Endpoint, container: Location, many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where as many in a row fail as are sent at once no others are begun, and that is told after a few rounds."""
    monkeypatch.setattr(rounds, "PAUSE_SECONDS", 0)
    drops = Drops(r"PUT \S*(file-\d+) ", 10**6)
    with breaking(swift, drops) as (storage, host), pytest.raises(Unreachable, match=r"upload .*file-000 to"):
        storage.upload(many, in_folder(container, host))
    assert len(drops.seen) <= WINDOW + THREADS


@pytest.mark.parametrize(
    ("fits", "second"),
    [(r"PUT \S*large\?\S*partnumber=(\d+)", "2"), (r"GET \S*large .*range: bytes=(\d+)-", str(PART))],
)
def test_of_a_large_file_only_the_part_that_failed_goes_again(
    swift: Endpoint, container: Location, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fits: str, second: str
) -> None:
    """Of hundreds of parts some always fail for a while: those that have arrived must not go again for them."""
    for module in (s3_transfer, object_store):
        monkeypatch.setattr(module, "CHUNK", PART)
    (tmp_path / "large").write_bytes(os.urandom(1024) * 1024 * 12)
    drops = Drops(fits, TRIES + 1, second)
    with breaking(swift, drops) as (storage, host):
        through = in_folder(container, host, "large")
        storage.upload(tmp_path / "large", through)
        storage.download(through, tmp_path / "back")
    assert (tmp_path / "back" / "large").read_bytes() == (tmp_path / "large").read_bytes()
    assert sorted(drops.seen.values()) == [1, 1, TRIES + 2]


@pytest.mark.parametrize(
    ("fits", "page", "act"),
    [
        (r"GET \S*(continuation-token)", 50, lambda storage, place: list(storage.entries(place))),
        (r"POST \S*(delete) ", 50, lambda storage, place: storage.delete(place)),
        (r"PUT \S*(copied) ", 1000, lambda storage, place: storage.copy(place / "file-000", place / "copied")),
    ],
)
def test_what_takes_many_requests_does_not_begin_anew(
    swift: Endpoint,
    container: Location,
    many: Path,
    monkeypatch: pytest.MonkeyPatch,
    fits: str,
    page: int,
    act: Callable[..., object],
) -> None:
    """A long list, the removal of many objects and a copy on the server go on where a request failed for a moment."""
    monkeypatch.setattr(object_store, "PAGE", page)
    monkeypatch.setattr(s3_delete, "BATCH", page)
    object_storage(swift).upload(many, container / "set", skip=lambda name: name > "file-120")
    drops = Drops(fits, TRIES + 1)
    with breaking(swift, drops) as (storage, host):
        act(storage, in_folder(container, host))
    assert sum(drops.seen.values()) > TRIES
