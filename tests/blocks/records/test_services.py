"""Ports of what stays up: each given once, kept until it is given back."""

import pytest

from blocks.records import services
from blocks.records.database import Records
from blocks.records.services import NoPortLeft

PORTS = range(6006, 6009)


def reserve(records: Records, name: str, ports: range = PORTS) -> int:
    with records.writing() as session:
        return services.reserve(session, name, "tensorboard", f"ex-{name}", ports).port


def test_each_service_gets_the_first_free_port(records: Records):
    """Ports are given out in order, each once."""
    assert [reserve(records, name) for name in "abc"] == [6006, 6007, 6008]


def test_a_service_keeps_its_port(records: Records):
    """Reserved again, also from another range, it is the same."""
    assert reserve(records, "a") == reserve(records, "a", range(7000, 7001)) == 6006
    with records.reading() as session:
        assert len(services.all_of(session, "tensorboard")) == 1


def test_two_in_one_transaction_differ(records: Records):
    """What was reserved a moment ago in the same session is taken."""
    with records.writing() as session:
        ports = {services.reserve(session, name, "tensorboard", "ex", PORTS).port for name in "abc"}
    assert ports == set(PORTS)


def test_when_all_are_given_out_the_range_is_named(records: Records):
    """The message has the first and the last port."""
    for name in "abc":
        reserve(records, name)
    with pytest.raises(NoPortLeft, match="6006 to 6008"):
        reserve(records, "d")


def test_what_is_forgotten_gives_its_port_back(records: Records):
    """Its name is unknown afterwards and its port goes to the next; forgetting twice is fine."""
    reserve(records, "a")
    for _ in range(2):
        with records.writing() as session:
            services.forget(session, "a")
    with records.reading() as session:
        assert services.lookup(session, "a") is None
    assert reserve(records, "b") == 6006


def test_services_are_listed_by_kind(records: Records):
    """Another kind's are left out."""
    reserve(records, "a")
    with records.writing() as session:
        services.reserve(session, "n", "notebook", "nb-1", range(9000, 9001))
    with records.reading() as session:
        assert [row.name for row in services.all_of(session, "notebook")] == ["n"]
