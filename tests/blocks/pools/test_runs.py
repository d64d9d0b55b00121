"""What Prefect answers, in our words."""

import pytest

from blocks.errors import Permanent, Temporary
from blocks.pools.errors import RunRefused
from blocks.pools.runs import deployment_of, refusal, with_environment


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


def test_an_instance_types_environment_stays_below_ours():
    """What it sets is set, but for the names that are ours; all its other variables stay."""
    variables = {"env": {"NCCL_DEBUG": "INFO", "EMF_ATTEMPT": "forged", "UNSET": None}, "stream_output": False}
    assert with_environment(variables, {"EMF_ATTEMPT": "tr-1-a1", "EMF_CLAIM_CODE": "code"}) == {
        "env": {"NCCL_DEBUG": "INFO", "UNSET": None, "EMF_ATTEMPT": "tr-1-a1", "EMF_CLAIM_CODE": "code"},
        "stream_output": False,
    }
    assert with_environment({}, {"A": "b"}) == with_environment({"env": None}, {"A": "b"}) == {"env": {"A": "b"}}
    assert variables["env"]["EMF_ATTEMPT"] == "forged"  # the catalogue's own is not changed


def test_an_environment_that_is_none_is_refused():
    """With what it is, and none of its values; asking again does not help."""
    with pytest.raises(RunRefused, match="not a list") as refused:
        with_environment({"env": ["KEY=secret"]}, {})
    assert "secret" not in str(refused.value)
