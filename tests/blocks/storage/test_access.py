"""The check of every path of a request."""

import socket
import time
from pathlib import Path

import pytest
from pydantic import SecretStr

from blocks.storage import Endpoint, Location, Storage
from blocks.storage.access import Wanted, check


def test_every_fault_is_answered_in_order(on_objects: Storage, container: Location) -> None:
    """All wrong paths of a request come in one answer: field, problem, remedy; right ones do not."""
    on_objects.write(container / "data/x", b"x")
    place = f"obs://{container.endpoint}"
    faults = check(
        on_objects,
        [
            Wanted(str(container / "data"), "dataset", False),
            Wanted(f"{place}/not-there/x", "source", False),
            Wanted(str(container / "output"), "output", True),
            Wanted("s3://x", "checkpoint", True),
            Wanted(str(container / "nothing"), "algorithm", False),
            Wanted("nas://nas-9:/x", "nas", True),
            Wanted("obs://elsewhere/data", "other", True),
        ],
    )
    assert [fault.field for fault in faults] == ["source", "checkpoint", "algorithm", "nas", "other"]
    assert f"`emf storage make {place}/not-there`" in faults[0].remedy
    assert all(fault.problem and fault.remedy for fault in faults)
    assert [entry.key for entry in on_objects.entries(container)] == ["data/x"]


def test_a_server_that_does_not_answer_is_a_fault_in_time() -> None:
    """A server that takes the connection and says nothing costs the deadline, not more, and is a fault."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        endpoint = Endpoint(url=f"http://{host}", access_key="a:b", secret_key=SecretStr("c"))
        started = time.monotonic()
        faults = check(Storage({host: endpoint}, {}), [Wanted(f"obs://{host}/data/x", "f", False)] * 3, deadline=2)
        assert time.monotonic() - started < 10
    assert len(faults) == 3 and "2 seconds" in faults[0].problem


def test_no_rights_is_a_fault_that_says_how_to_grant(swift: Endpoint, container: Location) -> None:
    """Wrong keys are a fault with where they stand, and without them."""
    wrong = swift.model_copy(update={"secret_key": SecretStr("not-this")})
    faults = check(Storage({container.authority: wrong}, {}), [Wanted(str(container), "f", True)])
    assert "secrets.env" in faults[0].remedy and "not-this" not in str(faults)


def test_a_defect_of_ours_is_no_users_fault(tmp_path: Path) -> None:
    """What is no StorageError is raised in the caller's thread."""
    with pytest.raises(AttributeError):
        check(Storage({}, {"n": 5}), [Wanted("nas://n:/x", "f", False)])  # type: ignore[dict-item]
