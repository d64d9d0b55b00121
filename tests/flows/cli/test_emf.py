"""`emf` in the terminal: lists and pages at once, faults without a traceback."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from blocks.logs import InstanceLog, LocalSink
from blocks.platform import Platform
from blocks.records import attempt as verbs
from blocks.records import trainings
from blocks.records.transitions import transition
from blocks.records.words import Reason, TrainingState
from flows import cli
from flows.cli import app

T = TrainingState
ROOT = Path(__file__).parents[3]
Emf = Callable[..., tuple[int, str, str]]


@pytest.fixture
def emf(here: Platform, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Emf:
    """Say an `emf` command; returns its exit code, what it printed, and what it printed as a fault."""

    def said(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["emf", *arguments])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        printed = capsys.readouterr()
        return int(caught.value.code or 0), printed.out, printed.err

    return said


@pytest.fixture
def failed(here: Platform, make: Callable[..., str]) -> str:
    """The id of a training that failed, with brackets in everything that people and scripts write."""
    training_id = make(T.RUNNING, hyperparameters={"shape": "[/3, 4]"}, tags={"[a]": "[/b]"})
    with here.records.writing() as session:
        row = trainings.find(session, training_id)
        attempt = verbs.grant(session, row, machine="here", memory_bytes=1, gpus=[])
        evidence = {"cause": "exit", "exit_code": 1, "last_lines": ["[/usr/lib] no such file", "[bold]loss[/red]"]}
        verbs.end(session, attempt, T.FAIL_TRAIN, reason=Reason.USER_ERROR, message="[/oops] it", evidence=evidence)
    return training_id


def test_trainings_as_a_list(emf: Emf, make: Callable[..., str], failed: str):
    """One line each, whatever brackets stand in it, and how many there are."""
    waiting = make(name="숫자")
    code, out, _ = emf("training", "list")
    assert code == 0
    assert "2 of 2" in out
    assert re.search(rf"숫자 +{waiting} +CREATE_IN_PROGRESS", out)
    assert re.search(rf"digits +{failed} +FAIL_TRAIN .*USER_ERROR: \[/oops\] it", out)


def test_trainings_as_json(emf: Emf, make: Callable[..., str], failed: str):
    """The same as data, with Korean letters as they are; filters and pages count."""
    make(name="숫자")
    code, out, _ = emf("training", "list", "--json", "--state", "create_in_progress", "--tag", "team=red")
    found = json.loads(out)
    assert (code, found["total"], found["trainings"][0]["name"]) == (0, 1, "숫자")
    assert "숫자" in out
    _, out, _ = emf("training", "list", "--json", "--limit", "1", "--offset", "1")
    assert [row["id"] for row in json.loads(out)["trainings"]] == [failed]


@pytest.mark.parametrize("by", ["id", "name"])
def test_a_training_as_a_page(emf: Emf, failed: str, by: str):
    """State, reason, what it said last, hyperparameters, events: also texts that look like markup."""
    code, out, _ = emf("training", "show", failed if by == "id" else "digits")
    assert code == 0
    for text in ("exit code 1", "pytorch-2.13-cpu-py311", "1 × cpu.small", "train.py in", "output path", "digits: "):
        assert text in out
    for text in ("FAIL_TRAIN (USER_ERROR)", "[/usr/lib] no such file", "[bold]loss[/red]", "shape=[/3, 4]", "[a]=[/b]"):
        assert text in out
    assert "Attempt 1 holds" in out


def test_a_training_as_json(emf: Emf, failed: str):
    """All of it."""
    code, out, _ = emf("training", "show", failed, "--json")
    found = json.loads(out)
    assert (code, found["id"], found["evidence"]["exit_code"], len(found["attempts"])) == (0, failed, 1, 1)


def test_experiments(emf: Emf, make: Callable[..., str]):
    """List and page, for people and as data."""
    training_id = make()
    assert "group" in emf("experiment", "list")[1]
    found = json.loads(emf("experiment", "list", "--json")[1])
    assert (found["total"], found["experiments"][0]["trainings"]) == (1, 1)
    assert training_id in emf("experiment", "show", "group")[1]
    assert json.loads(emf("experiment", "show", "group", "--json")[1])["trainings"][0]["id"] == training_id


def test_an_experiment_that_is_nearly_named(emf: Emf, make: Callable[..., str]):
    """The fault names the one that was meant."""
    make()
    assert "Did you mean `group`?" in emf("training", "list", "--experiment", "grop")[2]


def test_the_catalogue(emf: Emf):
    """Images and instance types, and which of them this machine can never hold."""
    assert "pytorch-2.13-cpu-py311" in emf("images")[1]
    assert {image["core_type"] for image in json.loads(emf("images", "--json")[1])} == {"CPU", "GPU"}
    kinds = {kind["name"]: kind for kind in json.loads(emf("instance-types", "--json")[1])}
    assert kinds["cpu.small"]["memory_gb"] == 1
    assert "gpu.h100.2" in emf("instance-types")[1]
    assert "price per hour" in emf("instance-types")[1]


def test_files_are_listed(emf: Emf, tmp_path: Path):
    """Any place that a path names."""
    (tmp_path / "data" / "a[").mkdir(parents=True)
    (tmp_path / "data" / "a[" / "b].csv").write_text("12345")
    assert "a[/b].csv" in emf("storage", "list", f"file://{tmp_path}/data")[1]
    found = json.loads(emf("storage", "list", f"file://{tmp_path}/data", "--json")[1])
    assert found == [{"path": "a[/b].csv", "bytes": 5}]


def test_a_place_without_files_says_so(emf: Emf, tmp_path: Path):
    """In words, not as a table without lines; for programs it is an empty list."""
    place = f"file://{tmp_path}/empty"
    assert emf("storage", "list", place)[1] == f"Nothing is at {place}.\n"
    assert json.loads(emf("storage", "list", place, "--json")[1]) == []


def test_a_log_is_printed_line_by_line(emf: Emf, here: Platform, make: Callable[..., str]):
    """All of it, its last lines, or as data; brackets are brackets."""
    training_id = make()
    log = InstanceLog(LocalSink(here.settings.home, training_id, 1, 0), training_id, 1, 0)
    log.write([(f"[/{number}]", 0) for number in range(5)])
    log.close()
    assert emf("training", "logs", training_id)[1].split() == [f"[/{number}]" for number in range(5)]
    assert emf("training", "logs", training_id, "-n", "2")[1].split() == ["[/3]", "[/4]"]
    lines = emf("training", "logs", training_id, "-n", "1", "--json")[1].splitlines()
    assert [json.loads(line)["body"] for line in lines] == ["[/4]"]


def test_files_come_and_go_as_json(emf: Emf, tmp_path: Path):
    """What was copied where, for programs."""
    (tmp_path / "a.csv").write_text("12345")
    place = f"file://{tmp_path}/there"
    sent = json.loads(emf("storage", "put", str(tmp_path / "a.csv"), place, "--json")[1])
    assert (sent["files"], sent["bytes"]) == (1, 5)
    got = json.loads(emf("storage", "get", place, str(tmp_path / "back"), "--json")[1])
    assert got == {"folder": str(tmp_path / "back"), "files": 1, "bytes": 5}


def test_a_file_is_put_into_a_folder_that_is_there(emf: Emf, tmp_path: Path):
    """As `cp` does: what lies in the folder is not hidden by a file of its name."""
    (tmp_path / "a.csv").write_text("12345")
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "b.csv").write_text("1")
    assert emf("storage", "put", str(tmp_path / "a.csv"), f"file://{tmp_path}/there")[0] == 0
    assert {file.name for file in (tmp_path / "there").iterdir()} == {"a.csv", "b.csv"}


@pytest.mark.parametrize("state", [T.COMPLETE, T.DELETE_FAILED])
def test_following_ends_with_the_training(emf: Emf, here: Platform, make: Callable[..., str], state: T):
    """Of what is there the last lines, as data if that is asked for; also one whose deletion failed ends it."""
    training_id = make(T.COMPLETE)
    if state != T.COMPLETE:
        with here.records.writing() as session:
            row = trainings.find(session, training_id)
            transition(session, row, T.DELETE_IN_PROGRESS)
            transition(session, row, state)
    log = InstanceLog(LocalSink(here.settings.home, training_id, 1, 0), training_id, 1, 0)
    log.write([(str(number), 0) for number in range(5)])
    log.close()
    assert emf("training", "logs", training_id, "--follow")[1].split() == ["0", "1", "2", "3", "4"]
    assert emf("training", "logs", training_id, "-f", "-n", "2")[1].split() == ["3", "4"]
    lines = emf("training", "logs", training_id, "-f", "-n", "1", "--json")[1].splitlines()
    assert [json.loads(line)["body"] for line in lines] == ["4"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["training", "show", "none"], 1, "There is no training 'none'"),
        (["training", "logs", "none"], 1, "There is no training 'none'"),
        (["experiment", "show", "[/none]"], 1, "There is no experiment '[/none]'"),
        (["storage", "list", "file:///a/../b"], 1, "has the part '..'"),
        (["storage", "list", "obs://other.host/container/x"], 1, "has no keys for the object store"),
        (["training", "create", "--tag", "red"], 2, "tag ('red'): has no =. Write key=value."),
        (["training", "create", "--hp", "a=1", "--hp", "a=2"], 2, "'a' is given twice"),
        (
            ["training", "create", "--file", "/nowhere/request.yaml"],
            2,
            "cannot be read: No such file or directory. Name",
        ),
        (["training", "create", "--file", "/dev/null/x"], 2, "cannot be read: Not a directory"),
        (["training", "copy", "x", "--set", "name"], 2, "has no ="),
        (["training", "list", "--state", "complte"], 2, "Did you mean `COMPLETE`?"),
        (["training", "list", "--experiment", "typo"], 2, "there is no such experiment"),
        (["training", "nonsense"], 2, "No such command"),
        (["training", "list", "--limit", "many"], 2, "as an integer"),
        (["training", "list", "--limit", str(10**30)], 2, "limit (1000"),
        (["experiment", "list", "--offset", "-1"], 2, "offset (-1): is too small"),
        (["training", "logs", "none", "-n", str(10**30)], 2, "1000000"),
        (["training", "show", "\udcff"], 2, r"argument[2] ('\udcff'): is not text in UTF-8"),
        (["experiment", "show", "a\nb"], 2, "control character"),
        (["storage", "get", "file:///none/[/x]", "/tmp/none"], 1, "holds no files"),
    ],
)
def test_faults_are_told_without_a_traceback(emf: Emf, arguments: list[str], code: int, said: str):
    """2 where the request is wrong, 1 where it could not be done; the words go to standard error."""
    found, out, err = emf(*arguments)
    assert found == code
    assert said in re.sub(r"\s+", " ", err)
    assert "Traceback" not in err + out
    assert out == ""


@pytest.mark.parametrize(
    ("arguments", "code", "fields"),
    [
        (["experiment", "list", "--limit", "0"], 2, {"limit": "0"}),
        (["tensorboard"], 2, {"training, experiment": "['', '']"}),
        (["training", "create", "--hp", "\udcff"], 2, {"argument[3]": r"'\udcff'"}),
        (["training", "show", "none"], 1, {}),
    ],
)
def test_a_program_gets_its_faults_as_json(emf: Emf, arguments: list[str], code: int, fields: dict[str, str]):
    """One line on standard output, with each fault; the exit code and the words for a person are as without."""
    found, out, err = emf(*arguments, "--json")
    told = json.loads(out)
    assert (found, out.count("\n")) == (code, 1)
    assert {fault["field"]: fault["value"] for fault in told["faults"]} == fields
    assert all(fault["problem"] and fault["remedy"] for fault in told["faults"])
    assert told["error"] == err.removesuffix("\n")


@pytest.mark.parametrize("text", [b"name: [a,\n", b"name: \xff\n"])
def test_a_file_that_cannot_be_understood_says_where(emf: Emf, tmp_path: Path, text: bytes):
    """On one line, without the marks of a program's text."""
    (tmp_path / "request.yaml").write_bytes(text)
    code, _, err = emf("training", "create", "--file", str(tmp_path / "request.yaml"))
    told = re.sub(r"\s+", " ", err)
    assert code == 2
    assert "is neither YAML nor JSON: " in told
    assert "\\n" not in told


def test_every_fault_of_a_request_comes_at_once(emf: Emf, tmp_path: Path):
    """What is missing, unknown, wrong in the file and wrong in an option, together; nothing is recorded."""
    request = {"colour": "red", "hyperparameters": ["a"], "data_sets": 5, "image": "none", "instance_count": 0}
    (tmp_path / "request.json").write_text(json.dumps(request))
    code, _, err = emf(
        *("training", "create", "--file", str(tmp_path / "request.json"), "--hp", "lr=1"),
        *("--algorithm-path", "code/../x", "--output-path", "C/out", "--name", "x" * 51),
    )
    assert code == 2
    for field in ("name", "experiment", "algorithm_path", "entry_point", "hyperparameters", "image", "instance_type"):
        assert re.search(rf"\d+\. {field}\b", err), field
    for words in ("instance_count (0)", "data_sets (5)", "there is no such field", "'..'", "'C' is no name of a"):
        assert words in re.sub(r"\s+", " ", err), words
    assert "Traceback" not in err
    assert json.loads(emf("training", "list", "--json")[1])["total"] == 0


def test_words_that_cannot_be_read_hide_no_other_fault(emf: Emf):
    """What is wrong with each pair comes with what is wrong with the fields; nothing is recorded."""
    code, _, err = emf(
        *("training", "create", "--name", "x" * 60, "--algorithm-path", "code/nothere", "--image", "pytorch-99"),
        *("--maximum-time", "10s", "--hp", "epochs", "--hp", "=3", "--tag", "red", "--tag", "a=1", "--tag", "a=2"),
        *("--data-set", "digits"),
    )
    told = re.sub(r"\s+", " ", err)
    assert code == 2
    for words in ("hp ('epochs'): has no =", "tag ('red'): has no =", "'a' is given twice", "data-set ('digits'): has"):
        assert words in told, words
    for field in ("name", "experiment", "algorithm_path", "image", "maximum_time", "hyperparameters"):
        assert re.search(rf"\d+\. {field}\b", err), field
    assert json.loads(emf("training", "list", "--json")[1])["total"] == 0


def test_the_words_of_a_copy_hide_no_other_fault(emf: Emf, make: Callable[..., str]):
    """The settings that can be read are checked with those of the training before; nothing is recorded."""
    make(T.COMPLETE)
    given = ("--name", "x" * 60, "--set", "image", "--set", "colour=red", "--set", "maximum-time=x")
    given += ("--hp", "epochs", "--hp", "=3")
    code, _, err = emf("training", "copy", "digits", *given)
    told = re.sub(r"\s+", " ", err)
    assert code == 2
    for words in ("set ('image'): has no =", "hp ('epochs'): has no =", "name ('xxx", "colour ('red'): there is no"):
        assert words in told, words
    assert "maximum_time ('x')" in told  # as the option of `create` is written
    assert re.search(r"\d+\. hyperparameters\b", err)
    assert json.loads(emf("training", "list", "--json")[1])["total"] == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["create", "x" * 60, "--tag", "red", "--tag", "=1"], ["tag ('red'): has no =", "name ('xxx", "tags"]),
        (["change", "a", "--description", "x" * 300, "--tag", "red"], ["tag ('red'): has no =", "description ('xxx"]),
    ],
)
def test_a_tag_that_cannot_be_read_hides_no_other_fault(emf: Emf, arguments: list[str], words: list[str]):
    """Of an experiment either; it is told with what is wrong with the fields."""
    code, _, err = emf("experiment", *arguments)
    assert code == 2
    assert [word for word in words if not re.search(rf"\d+\. {re.escape(word)}", err)] == []


@pytest.mark.parametrize("what", ["training", "experiment"])
def test_a_change_of_nothing_is_told_in_the_terminals_words(emf: Emf, what: str):
    """Its options, and not the switches that a form has."""
    code, _, err = emf(what, "change", "digits")
    assert code == 2
    assert "Give --description or --tag;" in err
    assert "change_tags" not in err


def test_the_help_names_what_there_is():
    """Experiments and trainings, and nothing that no command is for."""
    told = CliRunner().invoke(app, ["--help"]).output
    assert "experiments and trainings" in told
    assert "notebook" not in told


def test_without_a_platform_it_says_what_to_do(tmp_path: Path, emf: Emf, monkeypatch: pytest.MonkeyPatch):
    """A folder that no platform was ever in."""
    monkeypatch.setenv("EMF_HOME", str(tmp_path / "nowhere"))
    code, _, err = emf("training", "list")
    assert code == 1
    assert "`emf up`" in err


def test_a_broken_settings_file_is_named(here: Platform, emf: Emf):
    """The file and the field."""
    (here.settings.home / "settings.yaml").write_text("colour: red")
    code, _, err = emf("training", "list")
    assert code == 1
    assert "settings.yaml" in err
    assert "colour" in err


def test_every_command_has_a_help():
    """Each command and each of its groups answers --help with a sentence."""
    runner = CliRunner()
    for words in ([], ["training"], ["experiment"], ["catalogue"], ["storage"], ["training", "create"], ["reconcile"]):
        found = runner.invoke(app, [*words, "--help"])
        assert found.exit_code == 0
        assert "Usage:" in found.output


SLOW = ("prefect", "mlflow", "boto3", "docker", "kubernetes", "alembic", "uvicorn", "swift")


@pytest.mark.parametrize("arguments", [["training", "list"], ["experiment", "list"], ["training", "show", "digits"]])
def test_lists_and_pages_answer_at_once(here: Platform, make: Callable[..., str], arguments: list[str]):
    """They load neither Prefect nor any vendor's client, and take about a second of processor time."""
    make()
    source = f"""
import sys, time
sys.argv = ["emf", *{arguments!r}, "--json"]
from flows.cli import main
try:
    main()
except SystemExit as end:
    code = end.code
print([code, time.process_time(), [name for name in {SLOW!r} if name in sys.modules]], file=sys.stderr)
"""
    environ: dict[str, Any] = os.environ | {"EMF_HOME": str(here.settings.home)}
    command = [sys.executable, "-c", source]
    done = subprocess.run(command, env=environ, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    code, seconds, loaded = json.loads(done.stderr.splitlines()[-1].replace("'", '"').replace("None", "0"))
    assert json.loads(done.stdout)
    assert (code, loaded) == (0, [])
    assert seconds < 3, "on an idle machine it is 0.8 s"
