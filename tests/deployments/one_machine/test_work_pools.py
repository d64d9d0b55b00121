"""The base job templates of the work pools."""

import json
from typing import Any

import pytest
from prefect.server.schemas.core import WorkPool
from prefect.utilities.templating import apply_values
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker

from deployments.one_machine.deploy import TEMPLATES

CLOSED = {"control": ("command", "working_dir", "env"), "process": ("command", "working_dir")}


def template(pool: str) -> dict[str, Any]:
    return json.loads((TEMPLATES / f"{pool}.json").read_text())


@pytest.mark.parametrize("pool", CLOSED)
def test_what_the_process_worker_expects_less_what_no_caller_chooses(pool: str) -> None:
    """The template is that of the installed Prefect: after an upgrade this tells what changed.

    Runs of the process pool do not write to their worker: a run that does dies with it, at its next line.
    """
    expected = ProcessWorker.get_default_base_job_template()
    for name in CLOSED[pool]:
        del expected["variables"]["properties"][name]
        del expected["job_configuration"][name]
    expected["job_configuration"] |= {"command": None, "working_dir": None}
    expected["variables"]["additionalProperties"] = False
    expected["variables"]["properties"]["stream_output"]["default"] = pool == "control"
    assert template(pool) == expected
    assert WorkPool(name=pool, type="process", base_job_template=expected), "the server takes it"


@pytest.mark.parametrize("pool", CLOSED)
def test_no_caller_chooses_what_a_worker_executes(pool: str) -> None:
    """Whatever job variables get past the server, the worker starts Prefect's own engine; only `train` gets words."""
    sent = {"command": "touch /tmp/x", "working_dir": "/tmp", "env": {"EMF_CLAIM_CODE": "x"}}
    made = ProcessJobConfiguration(**apply_values(template(pool)["job_configuration"], sent))
    assert (made.command, made.working_dir) == (None, None)
    assert made.env == (sent["env"] if pool == "process" else {})
