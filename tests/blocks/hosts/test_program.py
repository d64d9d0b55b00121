"""What supervisord makes of a service's file."""

import json
import shlex
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from supervisor.options import ServerOptions

from blocks.hosts import start
from blocks.hosts.errors import BadService
from blocks.hosts.program import log_file, section
from blocks.hosts.service import Service

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
HARD = st.text("%;#'\"\\,=()s \n\t[]:$", max_size=20)
NAMES = st.from_regex(r"[A-Z_][A-Z0-9_]{0,9}", fullmatch=True)


def parsed(text: str, folder: str):
    """What supervisord itself makes of a file."""
    file = Path(folder) / "main.conf"
    file.write_text("[supervisord]\n" + text, encoding="utf-8")
    options = ServerOptions()
    options.configfile = str(file)
    options.process_config(do_usage=False)
    [group] = options.process_group_configs
    [process] = group.process_configs
    return process


@settings(deadline=None)
@given(
    command=st.lists(TEXT | HARD, min_size=1, max_size=4).filter(lambda words: words[0]),
    environment=st.dictionaries(NAMES, TEXT | HARD, max_size=4),
    home_name=st.text("ab %'\"()s", min_size=1, max_size=8).filter(lambda name: name == name.strip()),
)
def test_supervisord_reads_what_was_meant(command: list[str], environment: dict[str, str], home_name: str) -> None:
    """Whatever the command, the environment and the platform's folder are, supervisord's own parser gives them back."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / home_name
        log_file(home, "it").parent.mkdir(parents=True)
        process = parsed(section(Service("it", command, environment), home), folder)
        told = json.loads(process.environment[start.VARIABLE])
        assert told["command"] == command
        assert told["environment"] == environment | {"EMF_HOME": str(home), "EMF_PART": "it"}
        assert shlex.split(process.command) == [sys.executable, "-I", "-S", start.__file__]
        assert process.directory == str(home)
        assert process.stdout_logfile == str(log_file(home, "it"))


def test_a_folder_that_cannot_be_written() -> None:
    """A platform folder with a character that begins a comment is refused with its name."""
    with pytest.raises(BadService, match="/tmp/a;b"):
        section(Service("it", ["x"], {}), Path("/tmp/a;b"))


def test_too_large() -> None:
    """What does not fit in one variable of a process is refused before supervisord fails to start it."""
    with pytest.raises(BadService, match="of 120,000 bytes"):
        section(Service("it", ["x"], {"A": "%" * 30_000}), Path("/tmp/home"))
