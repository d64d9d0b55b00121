"""What is said of a script before it runs."""

import argparse

import pytest

from flows.training.arguments import declared_options, syntax_fault, warnings

PARSER = "import argparse\nparser = argparse.ArgumentParser()\n"

CLOSED = {
    "one option": ("parser.add_argument('--lr')", {"--lr"}),
    "two names": ("parser.add_argument('-b', '--batch-size', type=int)", {"-b", "--batch-size"}),
    "dest does not matter": ("parser.add_argument('--lr', dest='learning_rate')", {"--lr"}),
    "positional": ("parser.add_argument('file')\nparser.add_argument('--lr')", {"--lr"}),
    "in a function": ("def add(p):\n    p.add_argument('--lr')\nadd(parser)", {"--lr"}),
    "in a method": (
        "class A:\n    @staticmethod\n    def add(p):\n        p.add_argument('--lr')\nA.add(parser)",
        {"--lr"},
    ),
    "under a condition": ("if True:\n    parser.add_argument('--lr')", {"--lr"}),
    "a group": ("group = parser.add_argument_group('g')\ngroup.add_argument('--lr')", {"--lr"}),
    "exclusive": (
        "e = parser.add_mutually_exclusive_group()\ne.add_argument('--a')\ne.add_argument('--b')",
        {"--a", "--b"},
    ),
    "sub-commands": ("s = parser.add_subparsers()\nt = s.add_parser('train')\nt.add_argument('--lr')", {"--lr"}),
    "boolean action": (
        "parser.add_argument('--aug', action=argparse.BooleanOptionalAction)",
        {"--aug", "--no-aug"},
    ),
    "known arguments": ("parser.add_argument('--lr')\nargs, _ = parser.parse_known_args()", {"--lr"}),
    "arguments of its own": ("import sys\nparser.add_argument('--lr')\nparser.parse_args(sys.argv[1:])", {"--lr"}),
    "parser printed by itself": (
        "parser.add_argument('--lr')\nargs = parser.parse_args()\nprint(vars(args))",
        {"--lr"},
    ),
    "upper case and dots": ("parser.add_argument('--Model.Dim')", {"--Model.Dim"}),
    "a walrus": ("(p := argparse.ArgumentParser()).add_argument('--lr')", {"--lr"}),
}

OPEN = {
    "nothing at all": "print('hello')",
    "not Python": "def (",
    "a parser from another file": "from options import parser\nparser.add_argument('--lr')",
    "a parser that another file made": "import argparse, options\np = options.make()\np.add_argument('--lr')",
    "a parser made here and one from elsewhere": PARSER + "q = lib.make()\nq.add_argument('--lr')",
    "a parser that another file adds to": PARSER + "parser.add_argument('--lr')\nlib.add_arguments(parser)",
    "a parser that a library wraps": PARSER
    + "parser.add_argument('--lr')\nparser = deepspeed.add_config_arguments(parser)",
    "an attribute that a library adds to": (
        "import argparse\nclass A:\n    def __init__(self):\n        self.p = argparse.ArgumentParser()\n"
        "        self.p.add_argument('--lr')\n        lib.add(self.p)\n"
    ),
    "parents": "import argparse\nparser = argparse.ArgumentParser(parents=[base])\nparser.add_argument('--lr')",
    "names from a loop": PARSER + "for n in names:\n    parser.add_argument('--' + n)",
    "an f-string": PARSER + "parser.add_argument(f'--{n}')",
    "a variable": PARSER + "parser.add_argument(NAME)",
    "names unpacked": PARSER + "parser.add_argument(*names)",
    "options unpacked": PARSER + "parser.add_argument('--lr', **options)",
    "an alias": PARSER + "add = parser.add_argument\nadd('--lr')",
    "by getattr": PARSER + "parser.add_argument('--a')\ngetattr(parser, 'add_argument')('--lr')",
    "click": "import click\n@click.command()\n@click.option('--lr')\ndef main(lr): ...",
    "fire": PARSER + "parser.add_argument('--a')\nimport fire\nfire.Fire(main)",
    "absl": "from absl import app, flags\nflags.DEFINE_float('lr', 0.1, '')",
    "TensorFlow's flags": PARSER + "parser.add_argument('--a')\ntf.compat.v1.flags.DEFINE_float('lr', 0.1, '')",
    "Hugging Face": "from transformers import HfArgumentParser\nparser = HfArgumentParser((Model, Data))",
    "all hyperparameters by environment": PARSER + "parser.add_argument('--a')\nhps = json.loads(os.environ['EM_HPS'])",
    "any hyperparameter by environment": PARSER + "parser.add_argument('--a')\nx = os.environ['EM_HP_' + name]",
    "very long": PARSER + "parser.add_argument('--lr')\n" + "#" * 1_000_001,
    "deeply nested": "x = " + "(" * 5000 + ")" * 5000,
    "a null byte": "x = 1\x00",
}


@pytest.mark.parametrize(("rest", "names"), CLOSED.values(), ids=CLOSED)
def test_options_that_can_be_known(rest: str, names: set[str]):
    """Every literal `add_argument` of the script is found, in any scope, and nothing else can be there."""
    options = declared_options(PARSER + rest)
    assert (options.names, options.open) == (names, False)


@pytest.mark.parametrize("source", OPEN.values(), ids=OPEN)
def test_options_that_cannot_be_known(source: str):
    """Where other options may exist the answer is open, and no hyperparameter is warned of."""
    assert declared_options(source).open
    assert warnings({"anything": "1"}, source) == []


SCRIPT = PARSER + (
    "parser.add_argument('--learning-rate', type=float)\nparser.add_argument('--epochs')\nparser.add_argument('-m')\n"
    "parser.add_argument('--eps')\nparser.add_argument('--shuffle', action='store_true')\n"
    "seed = os.environ.get('EM_HP_SEED')\n"
)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("learning-rate", None),
        ("learing-rate", "`--learing-rate` is not an option of train.py; did you mean `--learning-rate`?"),
        ("learning_rate", "did you mean `--learning-rate`?"),
        ("Epochs", "did you mean `--epochs`?"),
        ("zzz", "it takes `--epochs`, `--eps`, `--learning-rate`, `--shuffle`"),
        ("learn", None),  # argparse completes it
        ("ep", "`--ep` could be `--epochs` or `--eps` of train.py"),
        ("m", "`--m` is not an option"),
        ("seed", None),  # read from the environment
        ("shuffle", "is a switch, which takes no value"),
        ("shuf", "is a switch, which takes no value"),
    ],
)
def test_a_warning_names_the_nearest(key: str, words: str | None):
    """A hyperparameter that argparse does not know is told, with the option that was probably meant."""
    told = warnings({key: "1"}, SCRIPT, "train.py")
    assert len(told) == (words is not None)
    assert words is None or words in told[0]


def test_the_beginning_of_a_name_is_not_enough_where_argparse_is_told_so():
    """`allow_abbrev=False` makes `--learn` unknown."""
    told = warnings(["learn"], SCRIPT.replace("Parser()", "Parser(allow_abbrev=False)"))
    assert "did you mean `--learning-rate`?" in told[0] or "it takes" in told[0]


def test_each_hyperparameter_is_judged_by_itself():
    """Two unknown names make two sentences, in their order."""
    told = warnings({"learing-rate": "1", "epochs": "2", "epoks": "3"}, SCRIPT)
    assert [sentence.split("`")[1] for sentence in told] == ["--learing-rate", "--epoks"]


def test_a_warning_is_what_argparse_does():
    """The real argparse leaves over exactly the options that are warned of."""
    parser = argparse.ArgumentParser()
    for name in ("--learning-rate", "--epochs"):
        parser.add_argument(name)
    source = PARSER + "parser.add_argument('--learning-rate')\nparser.add_argument('--epochs')\n"
    for key in ("learning-rate", "learn", "l", "learning_rate", "epochs", "epochs1", "EPOCHS", "x"):
        _, rest = parser.parse_known_args([f"--{key}", "1"])
        assert bool(warnings([key], source)) == bool(rest), key


@pytest.mark.parametrize(
    ("source", "line"),
    [("x = 1\ndef f(:\n    pass", "line 2"), ("x = (1,\n", "line 1"), ("  x = 1", "line 1"), ("'\x00'", "null")],
)
def test_a_script_that_no_python_reads_is_a_fault(source: str, line: str):
    """The fault is of the entry point and names the line."""
    fault = syntax_fault(source, "src/train.py")
    assert fault
    assert (fault.field, fault.value) == ("entry_point", "src/train.py")
    assert line in str(fault)


def test_a_script_that_may_be_right_is_no_fault():
    """A right script, and one for a Python newer than this one, are left alone."""
    assert syntax_fault(SCRIPT, "train.py", "3.11") is None
    assert syntax_fault("def f(:", "train.py", "3.99") is None
    assert syntax_fault("def f(:", "train.py", "3.8")
    assert syntax_fault(SCRIPT, "train.py", "3") is None


def test_a_script_for_a_newer_python_than_it_runs_with_is_a_fault():
    """What this Python reads, and the older one that the script will run with does not."""
    source = "match 1:\n    case 1:\n        pass\n"
    assert syntax_fault(source, "train.py", "3.11") is None
    assert "3.10" in str(syntax_fault(source, "train.py", "3.9"))
