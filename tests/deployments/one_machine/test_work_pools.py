"""The base job templates of the work pools."""

import json

from prefect.workers.process import ProcessWorker

from deployments.one_machine.deploy import TEMPLATES


def template(pool: str) -> dict[str, object]:
    return json.loads((TEMPLATES / f"{pool}.json").read_text())


def test_control_is_what_the_process_worker_expects() -> None:
    """The template is that of the installed Prefect: after an upgrade this tells what changed."""
    assert template("control") == ProcessWorker.get_default_base_job_template()


def test_a_training_survives_its_worker() -> None:
    """Runs of the process pool do not write to their worker: a run that does dies with it, at its next line."""
    expected = ProcessWorker.get_default_base_job_template()
    expected["variables"]["properties"]["stream_output"]["default"] = False
    assert template("process") == expected
