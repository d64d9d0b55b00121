"""What the lock files of images hold, beside what is asked for in the files that they are made from."""

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement

IMAGES = Path(__file__).parents[2] / "images"
ASKED = sorted(file.parent.name for file in IMAGES.glob("*/requirements.in"))


def test_every_image_says_what_its_lock_file_is_made_from():
    """`make lock` makes each again; the platform's comes from pyproject.toml."""
    locked = {file.parent.name for file in IMAGES.glob("*/requirements.lock")}
    assert locked == {*ASKED, "platform"}
    assert "images/*/requirements.in" in (IMAGES.parent / "Makefile").read_text()


@pytest.mark.parametrize("image", ASKED)
def test_what_is_asked_for_is_locked_with_hashes(image: str):
    """Every requirement has a locked version that fits it, on every Python that may run it."""
    lines = (IMAGES / image / "requirements.in").read_text().splitlines()
    asked = [Requirement(text) for line in lines if (text := line.partition("#")[0].strip())]
    lock = (IMAGES / image / "requirements.lock").read_text()
    for requirement in asked:
        versions = re.findall(rf"^{re.escape(requirement.name)}==([^ ]+)(?: ;.*)? \\\n    --hash=", lock, re.MULTILINE)
        assert versions, f"{requirement} is not locked"
        assert all(requirement.specifier.contains(version) for version in versions), requirement


@pytest.mark.parametrize("image", ["pytorch", "tensorflow"])
def test_what_autologging_draws_with_is_there(image: str):
    """MLflow's autologging of scikit-learn makes a figure, and fails without matplotlib."""
    assert re.search(r"^matplotlib==", (IMAGES / image / "requirements.lock").read_text(), re.MULTILINE)
