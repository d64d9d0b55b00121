"""What Prefect answers, in our words."""

import pytest

from blocks.errors import Permanent, Temporary
from blocks.pools.runs import deployment_of, refusal


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *[(status, Temporary) for status in (408, 409, 423, 429, 500, 502, 503, 504)],
        *[(status, Permanent) for status in (400, 401, 403, 405, 413, 422)],
    ],
)
def test_only_what_may_help_is_asked_again(status: int, kind: type):
    """A refusal is final, whoever is busy is not; Prefect's words are in the message, and not all of a long page."""
    error = refusal(status, "no such variable" + "x" * 1000)
    assert isinstance(error, kind)
    assert f"{status}: no such variable" in str(error)
    assert len(str(error)) < 300


def test_each_pool_has_its_deployment():
    """The usual pool's has the plain name."""
    assert deployment_of("process") == "train/easymaker"
    assert deployment_of("gpu") == "train/easymaker-gpu"
