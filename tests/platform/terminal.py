"""`emf`, as a person types it."""

import subprocess
import sys
from pathlib import Path

SECONDS = 240


def emf(*words: str, seconds: float = SECONDS) -> str:
    """Run it in a process of its own and return what it printed; it must succeed."""
    argv = [Path(sys.executable).with_name("emf"), *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
