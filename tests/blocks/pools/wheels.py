"""Small packages for tests, and what a Python says of them."""

import subprocess
import zipfile
from pathlib import Path


def wheel(folder: Path, name: str, version: str, requires: str = "") -> Path:
    """Write a wheel with one module that knows its version."""
    file = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    needs = f"Requires-Dist: {requires}\n" if requires else ""
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"{name}.py", f"VERSION = {version!r}\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        files = "".join(f"{path},,\n" for path in (f"{name}.py", f"{info}/METADATA", f"{info}/WHEEL", f"{info}/RECORD"))
        archive.writestr(f"{info}/RECORD", files)
    return file


def ask(python: Path, code: str) -> str:
    """Return what a python prints for this code."""
    return subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout.strip()
