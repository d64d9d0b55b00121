"""How faults are said."""

import pickle

from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from pydantic import BaseModel, ConfigDict, Field

from flows.faults import ABSENT, Fault, Refused, all_faults, nearest, shown, to_markdown, validated, wrong_together


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")
    path: str


class Order(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str = Field(max_length=3)
    count: int = Field(1, ge=1, le=10)
    parts: list[Part] = []
    inner: Part = Part(path="x")
    labels: dict[str, str] = {}
    switch: bool = False


def told(**raw: object) -> dict[str, str]:
    return {fault.field: str(fault) for fault in all_faults(Order, raw)}


def test_a_fault_reads_as_one_line():
    """Where, which value, what about it, what would be right."""
    fault = Fault("instance_count", 11, "is too large", "Give at most 10.")
    assert str(fault) == "instance_count (11): is too large. Give at most 10."
    assert str(Fault("name", ABSENT, "is missing", "Give it.")) == "name: is missing. Give it."


@given(st.text(), st.text(), st.text(), st.text())
def test_a_fault_is_always_one_printable_line(field: str, value: str, problem: str, remedy: str):
    """Whatever a sender wrote, a line of the answer cannot be broken, hidden or made to look like two."""
    assert str(Fault(field, value, problem, remedy)).isprintable()


@given(st.one_of(st.text(), st.binary(), st.integers(), st.lists(st.text()), st.dictionaries(st.text(), st.integers())))
def test_values_are_shown_short(value: object):
    """At most 80 characters of a value are shown."""
    assert len(shown(value)) <= 80


def test_numbers_that_python_will_not_write_are_shown():
    """A number of ten thousand digits is told of, alone and in a list, and is no traceback."""
    assert shown(10**10_000) == "a number of 33220 bits"
    assert shown([10**10_000]) == "a list"


def test_each_kind_of_fault_is_said_in_the_senders_words():
    """No word of pydantic's reaches the sender; each says what would be right."""
    found = told(nmae="x", count="many", parts=[{"pth": 1}, 3], inner={"paht": "x"}, labels={"a b": 1}, switch="maybe")
    assert found == {
        "name": "name: is missing. Give it.",
        "count": "count ('many'): is not a whole number. Give a whole number.",
        "parts[0].path": "parts[0].path: is missing. Give it.",
        "parts[0][" + repr("pth") + "]": "parts[0]['pth'] (1): there is no such field. Did you mean `path`?",
        "parts[1]": 'parts[1] (3): is not a set of names and values. Give names and values, as in {"name": "value"}.',
        "inner.path": "inner.path: is missing. Give it.",
        "inner['paht']": "inner['paht'] ('x'): there is no such field. Did you mean `path`?",
        "labels['a b']": "labels['a b'] (1): is not text. Give text, in quotes.",
        "switch": "switch ('maybe'): is neither yes nor no. Give true or false.",
        "nmae": "nmae ('x'): there is no such field. Did you mean `name`?",
    }
    assert told(name="long", count=11) == {
        "name": "name ('long'): is too long. Give at most 3 characters.",
        "count": "count (11): is too large. Give at most 10.",
    }


def test_an_unknown_name_far_from_all_is_answered_with_all():
    """Where nothing is near, the known names are listed."""
    assert told(name="a", zzzzzz=1)["zzzzzz"].endswith("Give one of: name, count, parts, inner, labels, switch.")
    assert nearest("Learning-Rate", ["learning_rate", "epochs"]) == "learning_rate"


def test_faults_come_once_and_in_the_order_of_the_fields():
    """Faults of rules over several fields stand among those of the fields, and none twice."""
    more = [Fault("count, name", 1, "do not agree", ""), Fault("count", 0, "is too small", "Give at least 1.")]
    fields = [fault.field for fault in all_faults(Order, {"name": "long", "count": 0, "switch": 7}, more)]
    assert fields == ["name", "count", "count, name", "switch"]


def test_a_refusal_holds_every_fault_numbered_and_survives_a_process():
    """Its text is a numbered list; pickled by an engine it is the same exception."""
    refused = Refused([Fault("a", 1, "is wrong", "Give 2."), Fault("b", ABSENT, "is missing", "Give it.")])
    assert str(refused).splitlines() == [
        "The request was refused, nothing was made: 2 things are wrong.",
        "1. a (1): is wrong. Give 2.",
        "2. b: is missing. Give it.",
    ]
    assert str(pickle.loads(pickle.dumps(refused))) == str(refused)


def test_a_flood_of_faults_is_cut():
    """A thousand faults are answered with the first two hundred and the number of the rest."""
    refused = Refused(Fault(str(n), n, "is wrong", "") for n in range(1000))
    assert str(refused).endswith("… and 800 more.")
    assert len(to_markdown(refused.faults).splitlines()) == 202


def test_a_right_request_makes_its_model():
    """`validated` answers the model when nothing is wrong."""
    assert validated(Order, {"name": "a"}) == Order(name="a")


def test_faults_of_a_models_own_rules_are_told_one_by_one():
    """A validator over the whole model hands its faults through pydantic without loss."""
    fault = wrong_together([Fault("a", 1, "is wrong", "Give 2.")])
    assert "a (1): is wrong. Give 2." in str(fault)


@settings(deadline=None)
@given(st.text("`|[]()<>\\*_~!& \nax"), st.text("`|[]()<>\\*_~!& \nax"))
def test_what_was_sent_cannot_become_markup(value: str, problem: str):
    """A real Markdown reader finds one row of four cells, and neither tag nor link nor picture in it."""
    table = to_markdown([Fault("name", f"{value}<b>[x](y)", f"{problem}<img>[x](y)", "")])
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(table)
    inner = [child.type for token in tokens for child in token.children or []]
    assert [token.type for token in tokens].count("tr_open") == 2
    assert [token.type for token in tokens].count("td_open") == 4
    assert not {"html_inline", "link_open", "image"} & set(inner)
