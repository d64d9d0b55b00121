"""Builds the wheel of this one-file package with nothing but Python, so that installing it needs no registry."""

import zipfile
from pathlib import Path

NAME = "greeting-1.0"


def build_wheel(folder, config_settings=None, metadata_directory=None):
    info = f"{NAME}.dist-info"
    texts = {
        "greeting.py": Path("greeting.py").read_text(encoding="utf-8"),
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: backend\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    texts[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in (*texts, f"{info}/RECORD"))
    with zipfile.ZipFile(Path(folder) / f"{NAME}-py3-none-any.whl", "w") as wheel:
        for name, text in texts.items():
            wheel.writestr(name, text)
    return f"{NAME}-py3-none-any.whl"
