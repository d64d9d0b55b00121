"""Which options a script declares to argparse, read from its syntax tree: the script is never run.

Where they cannot all be known (names made at run time, another library, a parser from another file) the answer says
so, and is `open`.
"""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

MOST_CHARACTERS = 1_000_000
_OTHER_LIBRARIES = frozenset(
    {"absl", "click", "configargparse", "docopt", "fire", "gflags", "hydra", "jsonargparse", "omegaconf", "optparse"}
    | {"plac", "sacred", "simple_parsing", "tap", "typer", "tyro"}
)
_OTHER_PARSERS = frozenset({"HfArgumentParser", "LightningCLI", "Tap"})
_MADE_FROM_A_PARSER = frozenset(
    {"ArgumentParser", "add_argument_group", "add_mutually_exclusive_group", "add_parser", "add_subparsers"}
)
_SWITCHES = frozenset({"store_true", "store_false", "store_const", "append_const", "count", "BooleanOptionalAction"})


@dataclass(frozen=True)
class Options:
    """What a script takes.

    Attributes:
        names: options as written in the script, such as `--learning-rate` and `-b`.
        open: whether it may take others too, which cannot be seen.
        switches: those of `names` that take no value.
        variables: environment variables such as EM_HP_EPOCHS that the script names.
        abbreviations: whether argparse accepts the beginning of a name for the whole.
    """

    names: frozenset[str]
    open: bool
    switches: frozenset[str] = frozenset()
    variables: frozenset[str] = frozenset()
    abbreviations: bool = True


UNKNOWN = Options(frozenset(), open=True)


def declared_options(source: str) -> Options:
    """Return the options that a Python script declares in any scope; `open` where they cannot all be known."""
    if len(source) > MOST_CHARACTERS:
        return UNKNOWN
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return UNKNOWN
    nodes = list(ast.walk(tree))
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    declarations = [call for call in calls if _name(call.func) == "add_argument"]
    names = frozenset(name for call in declarations for name in _option_names(call))
    switches = frozenset(name for call in declarations if _is_switch(call) for name in _option_names(call))
    variables = frozenset(
        node.value
        for node in nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("EM_HP")
    )
    is_open = (
        _uses_another_library(nodes)
        or not _all_declarations_are_plain(nodes, declarations)
        or _parsers_come_or_go(nodes, calls)
        or bool(variables & {"EM_HPS", "EM_HP_"})
    )
    return Options(names, is_open, switches, variables, not _refuses_abbreviations(calls))


def _name(node: ast.expr) -> str:
    """Return the last name of `x`, `a.b.x`; nothing for what has none."""
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _option_names(call: ast.Call) -> list[str]:
    names = [a.value for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    options = [name for name in names if name.startswith("-")]
    action = next((keyword.value for keyword in call.keywords if keyword.arg == "action"), None)
    if action is not None and _name(action) == "BooleanOptionalAction":
        options += [f"--no-{name[2:]}" for name in options if name.startswith("--")]
    return options


def _is_switch(call: ast.Call) -> bool:
    action = next((keyword.value for keyword in call.keywords if keyword.arg == "action"), None)
    return (action.value if isinstance(action, ast.Constant) else _name(action) if action else "") in _SWITCHES


def _uses_another_library(nodes: Iterable[ast.AST]) -> bool:
    for node in nodes:
        if isinstance(node, ast.Import) and any(a.name.split(".")[0] in _OTHER_LIBRARIES for a in node.names):
            return True
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in _OTHER_LIBRARIES:
            return True
        if isinstance(node, ast.Name | ast.Attribute):
            name = _name(node)
            if name in _OTHER_PARSERS or name.startswith("DEFINE_"):
                return True
    return False


def _all_declarations_are_plain(nodes: Iterable[ast.AST], declarations: list[ast.Call]) -> bool:
    """Tell whether there are any, each is called by its own name, and its option is written out."""
    mentions = sum(
        (isinstance(node, ast.Attribute) and node.attr == "add_argument")
        or (isinstance(node, ast.Constant) and node.value == "add_argument")
        for node in nodes
    )
    return mentions == len(declarations) > 0 and all(
        bool(call.args)
        and all(isinstance(a, ast.Constant) and isinstance(a.value, str) for a in call.args)
        and all(keyword.arg is not None for keyword in call.keywords)
        for call in declarations
    )


def _refuses_abbreviations(calls: Iterable[ast.Call]) -> bool:
    return any(
        keyword.arg == "allow_abbrev" and isinstance(keyword.value, ast.Constant) and keyword.value.value is False
        for call in calls
        for keyword in call.keywords
    )


def _parsers_come_or_go(nodes: list[ast.AST], calls: list[ast.Call]) -> bool:
    """Tell whether a parser is made elsewhere, has parents, or is handed to code that may add options of its own."""
    own = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
    classes = {"ArgumentParser"} | {
        node.name
        for node in nodes
        if isinstance(node, ast.ClassDef) and any(_name(base) == "ArgumentParser" for base in node.bases)
    }
    made = [call for call in calls if _name(call.func) in classes]
    if not made or any(keyword.arg == "parents" for call in made for keyword in call.keywords):
        return True
    parsers = {
        _dotted(call.func.value)
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and call.func.attr in {"add_argument", "parse_args", "parse_known_args"}
        and _dotted(call.func.value)
    }
    handed = any(
        _dotted(value) in parsers and not _is_own(call.func, own)
        for call in calls
        for value in [*call.args, *(keyword.value for keyword in call.keywords)]
    )
    return handed or any(
        not (isinstance(value, ast.Call) and (_name(value.func) in _MADE_FROM_A_PARSER | own))
        for name, value in _assignments(nodes)
        if name in parsers
    )


def _dotted(node: ast.expr) -> str:
    """Return `a` or `self.a` as written; nothing for anything longer or computed."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"{node.value.id}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _is_own(function: ast.expr, own: set[str]) -> bool:
    """Tell a function of this script from another module's of the same name."""
    if isinstance(function, ast.Attribute):
        return function.attr in own and _name(function.value) in {"self", "cls", *own}
    return _name(function) in own


def _assignments(nodes: Iterable[ast.AST]) -> Iterator[tuple[str, ast.expr]]:
    for node in nodes:
        if isinstance(node, ast.Assign):
            yield from ((_dotted(target), node.value) for target in node.targets)
        elif isinstance(node, ast.AnnAssign | ast.NamedExpr) and node.value:
            yield _dotted(node.target), node.value
