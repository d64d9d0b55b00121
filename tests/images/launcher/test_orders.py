"""Standard input: the job's line, then one order a line, however the pipe cuts them."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from images.launcher.job import BadJob
from images.launcher.orders import Orders


@pytest.fixture
def pipe() -> Iterator[tuple[Orders, int]]:
    reader, writer = os.pipe()
    yield Orders(reader), writer
    os.close(reader)


def test_what_follows_the_job_is_kept(pipe):
    """An order that comes together with the job is no part of it, and is not lost."""
    orders, writer = pipe
    os.write(writer, b"{}\ngiven up\ngo")
    assert orders.job() == b"{}"
    assert orders.take() == ["given up"]
    os.write(writer, b" on 1\n")
    orders.read()
    assert (orders.take(), orders.take()) == (["go on 1"], [])
    os.close(writer)


def test_input_that_ends_is_closed(pipe):
    """Its end is seen once all that was said has been read."""
    orders, writer = pipe
    os.write(writer, b"{}\n")
    os.close(writer)
    assert (orders.job(), orders.open) == (b"{}", True)
    orders.read()
    assert not orders.open


@pytest.mark.parametrize(("said", "words"), [(b"{", "ended before"), (b"", "ended before"), (None, r"within 0\.1 s")])
def test_job_that_does_not_come_is_refused(pipe, said, words):
    """An input that ends too early, or says nothing, brings no job."""
    orders, writer = pipe
    if said is not None:
        os.write(writer, said)
        os.close(writer)
    with pytest.raises(BadJob, match=words):
        orders.job(0.1)
    if said is None:
        os.close(writer)


LINES = st.lists(st.text(st.characters(exclude_characters="\n", codec="utf-8")), min_size=1, max_size=5)


@given(LINES, st.lists(st.integers(1, 9), min_size=1))
def test_lines_are_the_same_however_they_are_cut(lines, cuts):
    """Whatever pieces arrive, each line is handed out once, whole and in order."""
    reader, writer = os.pipe()
    orders, taken, rest = Orders(reader), [], "".join(f"{line}\n" for line in lines).encode()
    try:
        while rest:
            for cut in cuts:
                if rest:
                    os.write(writer, rest[:cut])
                    rest = rest[cut:]
                    orders.read()
                    taken += orders.take()
    finally:
        os.close(reader)
        os.close(writer)
    assert taken == lines
