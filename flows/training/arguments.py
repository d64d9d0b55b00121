"""What can be said of a script before it runs: hyperparameters that it does not know, lines that no Python can read.

Where a script's options cannot be known nothing is warned of: a warning that is wrong is worse than none.
"""

import ast
import difflib
import re
import sys
from collections.abc import Iterable

from flows.faults import Fault
from flows.training.fields import environment_name
from flows.training.script_options import Options, declared_options

__all__ = ["Options", "declared_options", "syntax_fault", "warnings"]


def warnings(hyperparameters: Iterable[str], source: str, script: str = "the script") -> list[str]:
    """Return a sentence for each hyperparameter that the script will not understand, with what it does know."""
    options = declared_options(source)
    if options.open:
        return [_switch_warning(key, script) for key in hyperparameters if f"--{key}" in options.switches]
    return [told for key in hyperparameters if (told := _warning(key, options, script))]


def syntax_fault(source: str, script: str, python: str = "") -> Fault | None:
    """Return the fault of a script that no Python can read, with its line.

    Args:
        source: the script's text.
        script: the entry point, as in the request.
        python: what it will run with, as in "3.11"; one newer than ours may read what we cannot, so nothing is said.
    """
    version = _version(python)
    if version > sys.version_info[:2]:
        return None
    try:
        ast.parse(source, feature_version=version if len(version) == 2 and version[0] == 3 else None)
    except SyntaxError as error:
        line = f": {error.text.strip()!r:.80}" if error.text and error.text.strip() else ""
        problem = f"Python cannot read line {error.lineno or 1} ({error.msg}){line}"
    except ValueError as error:
        problem = f"Python cannot read it ({error})"
    except (RecursionError, MemoryError):
        return None
    else:
        return None
    return Fault("entry_point", script, problem, "Mend it, put it into the algorithm path, and send the request again.")


def _warning(key: str, options: Options, script: str) -> str | None:
    option = f"--{key}"
    if option in options.switches:
        return _switch_warning(key, script)
    if option in options.names or f"EM_HP_{environment_name(key)}" in options.variables:
        return None
    meant = sorted(name for name in options.names if options.abbreviations and name.startswith(option))
    if len(meant) == 1:
        return _switch_warning(key, script) if meant[0] in options.switches else None
    if meant:
        return f"`{option}` could be {' or '.join(f'`{name}`' for name in meant)} of {script}: argparse refuses it."
    near = _nearest(option, options.names)
    if near:
        return f"`{option}` is not an option of {script}; did you mean `{near}`?"
    long = sorted(name for name in options.names if name.startswith("--"))
    known = f"it takes {', '.join(f'`{name}`' for name in long[:10])}{' …' * (len(long) > 10)}" if long else ""
    return f"`{option}` is not an option of {script}; {known or 'it takes none'}."


def _nearest(option: str, names: Iterable[str]) -> str | None:
    plain = {name.lstrip("-").casefold().replace("-", "_"): name for name in names if name.startswith("--")}
    found = difflib.get_close_matches(option.lstrip("-").casefold().replace("-", "_"), plain, n=1, cutoff=0.6)
    return plain[found[0]] if found else None


def _switch_warning(key: str, script: str) -> str:
    return f"`--{key}` of {script} is a switch, which takes no value: argparse refuses or drops the value given to it."


def _version(text: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"[0-9]+", text)[:2]))
