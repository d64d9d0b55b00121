"""Tables in the terminal: what is copied from them is whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from flows.cli import output

ID = "tr-0123456789ab"
URL = "http://127.0.0.1:4200/v2/runs/flow-run/01234567-89ab-cdef-0123-456789abcdef"
PATH = f"obs://127.0.0.1:8480/trainings/{'long/' * 30}{ID}/checkpoints/checkpoint-1"


def on(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    """Print to a terminal of 80 columns, or to a pipe."""
    monkeypatch.setattr(output, "console", Console(width=80, force_terminal=terminal, no_color=True))


@pytest.mark.parametrize("terminal", [True, False])
def test_links_and_paths_stand_on_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], terminal: bool
):
    """However wide the terminal is, nothing breaks them, and nothing pads a line to its right."""
    on(monkeypatch, terminal)
    output.print_facts([("run", URL), ("paths", f"{PATH}\n{PATH}"), ("none", "")], "digits")
    output.print_table(("part", "page", "health"), [("prefect", URL, ""), ("mlflow", PATH, "well")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:4] == [f"run    {URL}", f"paths  {PATH}", f"       {PATH}"]
    assert f"prefect  {URL}" in lines
    assert f"mlflow   {PATH}  well" in lines
    assert [line for line in lines if line != line.rstrip()] == []


@pytest.mark.parametrize("terminal", [True, False])
def test_only_the_last_column_of_a_list_is_cut(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], terminal: bool
):
    """On a terminal its text ends where the terminal does; in a pipe it is whole, on the one line."""
    on(monkeypatch, terminal)
    name = "a-name-that-is-long-and-not-alone"
    output.print_list(("name", "id", "what"), [(name, ID, "why\n" * 40), ("숫자", ID, "")])
    _, first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{name}  {ID}  why why")
    assert (len(first) <= 80, first.endswith("…")) == (terminal, terminal)
    assert second == f"숫자{' ' * (len(name) - 4)}  {ID}"


def test_a_list_of_nothing():
    """Its head stands alone; a table of nothing without a head has no line."""
    assert [line.plain for line in output.aligned(("name", "id"), [])] == ["name  id"]
    assert output.aligned((), []) == []


CELLS = st.text(alphabet="ab[/]숫 -", max_size=30).map(str.strip)


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=5), st.none() | st.integers(1, 120))
def test_every_cell_but_the_last_is_whole(lines: list[tuple[str, str, str]], width: int | None):
    """Whatever the width is; and with none the last is too."""
    shown = output.aligned((), [(*line[:-1], Text(line[-1])) for line in lines], width)
    for line, text in zip(lines, shown, strict=True):
        for cell in line if width is None else line[:-1]:
            assert cell in text.plain
