"""Ports of what stays up: each given once, kept until it is given back."""

import pytest

from blocks.records import services
from blocks.records.database import Records
from blocks.records.errors import Conflict


def reserve(records: Records, name: str, port: int) -> int:
    with records.writing() as session:
        return services.reserve(session, name, "tensorboard", f"ex-{name}", port).port


def test_a_service_keeps_its_port(records: Records):
    """Reserved again, also with another port, it is the same."""
    assert reserve(records, "a", 6006) == reserve(records, "a", 7000) == 6006
    with records.reading() as session:
        assert services.ports(session) == {6006}


def test_no_two_services_have_one_port(records: Records):
    """The second one is refused, and not recorded."""
    reserve(records, "a", 6006)
    with pytest.raises(Conflict):
        reserve(records, "b", 6006)
    with records.reading() as session:
        assert services.lookup(session, "b") is None


def test_what_was_reserved_a_moment_ago_is_given_out(records: Records):
    """Also in the same transaction."""
    with records.writing() as session:
        services.reserve(session, "a", "tensorboard", "ex", 6006)
        services.reserve(session, "n", "notebook", "nb", 9000)
        assert services.ports(session) == {6006, 9000}


def test_what_is_forgotten_gives_its_port_back(records: Records):
    """Its name is unknown afterwards and its port goes to the next; forgetting twice is fine."""
    reserve(records, "a", 6006)
    for _ in range(2):
        with records.writing() as session:
            services.forget(session, "a")
    with records.reading() as session:
        assert services.lookup(session, "a") is None
    assert reserve(records, "b", 6006) == 6006


def test_services_are_listed_by_kind(records: Records):
    """Another kind's are left out."""
    reserve(records, "a", 6006)
    with records.writing() as session:
        services.reserve(session, "n", "notebook", "nb-1", 9000)
    with records.reading() as session:
        assert [row.name for row in services.all_of(session, "notebook")] == ["n"]
