"""Read the job from standard input and run it. Exits with 0 (the last report tells the rest), or 2 if refused."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def load() -> None:
    """Make this folder importable as `launcher`, without a word in sys.path that would make other things so."""
    spec = importlib.util.spec_from_file_location(
        "launcher", HERE / "__init__.py", submodule_search_locations=[str(HERE)]
    )
    if not spec or not spec.loader:
        raise ImportError(f"{HERE} is not the launcher's folder.")
    package = importlib.util.module_from_spec(spec)
    sys.modules["launcher"] = package
    spec.loader.exec_module(package)


if __name__ == "__main__":
    load()
    from launcher.entry import main

    sys.exit(main())
