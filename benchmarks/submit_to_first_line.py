"""How long a training takes from its submission to the first line of its script, and where that time goes.

In turns with it runs an empty flow of Prefect's on the same work pool, from submission to Completed: what the engine
itself needs. The ratio of the two says what the platform adds, whatever else the machine does meanwhile.

    .venv/bin/emf up && .venv/bin/python benchmarks/submit_to_first_line.py --pairs 7 --json result.json
"""

import argparse
import json
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any
from uuid import UUID, uuid4

from flows import api  # isort: skip (first of all: it points this process's Prefect at the platform)
from prefect import get_client
from rich.console import Console
from rich.table import Table

from blocks.logs.line import LogLine
from blocks.platform import Platform
from blocks.storage.location import parse

CHECKOUT = Path(__file__).parents[1]
EXPERIMENT = "benchmark"
SECONDS = 300.0
STEPS = {
    "recorded": "the request is checked and written down",
    "leased": "it has its MLflow run, and its turn has come",
    "submitted": "its run is at Prefect",
    "claimed": "a worker has started the run, which has fetched its assignment",
    "staged in": "the code is on the instance",
    "launched": "the launcher has started the script",
    "first line": "the script's first line is in the log",
}


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5, help="how many trainings, and as many empty runs")
    parser.add_argument("--json", type=Path, help="a file for all figures")
    options = parser.parse_args()
    platform, deployment, pairs = Platform(), deploy_empty(), []
    request = prepare(platform)
    try:
        for number in range(options.pairs + 1):
            pair = {"empty": empty_run(deployment), "training": training(platform, request)}
            print(f"{number}/{options.pairs}: empty {pair['empty']:.2f} s, training {total(pair):.2f} s", flush=True)
            if number:  # number 0 loads what the others find loaded
                pairs.append(pair)
    finally:
        clean_up(deployment)
    result = summary(pairs)
    show(result)
    if options.json:
        options.json.write_text(json.dumps(result | {"pairs": pairs}, indent=1) + "\n", encoding="utf-8")


def deploy_empty() -> UUID:
    """Deploy the empty flow to the work pool of trainings."""
    with get_client(sync_client=True) as client:
        return client.create_deployment(
            client.create_flow_from_name("benchmark-empty"),
            "benchmark",
            work_pool_name="process",
            entrypoint="benchmarks/empty.py:empty",
            pull_steps=[{"prefect.deployments.steps.set_working_directory": {"directory": str(CHECKOUT)}}],
        )


def empty_run(deployment: UUID) -> float:
    """Return the seconds from the submission of an empty run to Completed."""
    with get_client(sync_client=True) as client:
        begun = datetime.now(UTC)
        run = client.create_flow_run_from_deployment(deployment)
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            state = client.read_flow_run(run.id).state
            if state and state.is_final():
                if state.is_completed():
                    return (state.timestamp - begun).total_seconds()
                raise SystemExit(f"The empty run is {state.name}: {state.message}")
            time.sleep(0.1)
    raise SystemExit(f"The empty run {run.id} had not ended after {SECONDS:g} s.")


def prepare(platform: Platform) -> dict[str, Any]:
    """Put a script that only prints into the object store; return what a training of it is asked for with."""
    code, output = (parse(platform.settings.obs("benchmark", key)) for key in ("code", "output"))
    platform.storage.ensure_container(code)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "train.py").write_text('print("first line")\n', encoding="utf-8")
        platform.storage.upload(Path(folder), code)
    api.create_experiment(name=EXPERIMENT, if_exists="use")
    return {
        "experiment": EXPERIMENT,
        "algorithm_path": str(code),
        "entry_point": "train.py",
        "image": "pytorch-2.13-cpu-py311",
        "instance_type": "cpu.small",
        "output_path": str(output),
    }


def training(platform: Platform, request: dict[str, Any]) -> dict[str, float]:
    """Run one training; return the seconds of each step."""
    begun = datetime.now(UTC)
    made = api.create_training(name=f"benchmark-{uuid4().hex[:6]}", **request)
    found = api.wait_for(made["id"], seconds=SECONDS)
    if found["state"] != "COMPLETE":
        raise SystemExit(f"The training {made['id']} is {found['state']}: {found['message']}")
    lines, _ = platform.logs.read(made["id"])
    with get_client(sync_client=True) as client:
        submitted = client.read_flow_run(UUID(found["attempts"][0]["run_page"].rsplit("/", 1)[1])).created
    moments = [begun, *reached(found, lines, submitted)]
    return {
        step: (later - earlier).total_seconds()
        for step, earlier, later in zip(STEPS, moments[:-1], moments[1:], strict=True)
    }


def reached(found: dict[str, Any], lines: list[LogLine], submitted: datetime | None) -> list[datetime]:
    """Return when each step was reached: from the training's events, its run and its log, all of one clock."""
    attempt = found["attempts"][0]
    events = {event["message"]: datetime.fromisoformat(event["time"]) for event in found["events"]}
    return [
        next(moment for message, moment in events.items() if message == "Requested."),
        datetime.fromisoformat(attempt["granted_at"]),
        submitted or datetime.fromisoformat(attempt["granted_at"]),
        next(moment for message, moment in events.items() if message.startswith("Attempt 1 started")),
        next(line.time for line in reversed(lines) if line.body.startswith("staged in")),
        datetime.fromisoformat(attempt["running_at"]),
        next(line.time for line in lines if line.source == "script"),
    ]


def clean_up(deployment: UUID) -> None:
    """Take away the trainings, the experiment and the empty flow."""
    for made in api.list_trainings(experiment=EXPERIMENT, limit=500):
        if made["state"] in ("COMPLETE", "STOPPED", "FAIL_TRAIN", "CREATE_FAILED"):
            api.delete_training(made["id"])
    if not api.list_trainings(experiment=EXPERIMENT):
        api.delete_experiment(EXPERIMENT)
    with get_client(sync_client=True) as client:
        flow_id = client.read_deployment(deployment).flow_id
        client.request("DELETE", "/flows/{id}", path_params={"id": flow_id})


def total(pair: dict[str, Any]) -> float:
    """Return the seconds from the submission of a pair's training to its script's first line."""
    return sum(pair["training"].values())


def summary(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return medians: of the empty runs, the trainings, the steps and the ratios, one for each pair."""
    return {
        "empty_seconds": median(pair["empty"] for pair in pairs),
        "training_seconds": median(total(pair) for pair in pairs),
        "ratio": median(total(pair) / pair["empty"] for pair in pairs),
        "steps": {step: median(pair["training"][step] for pair in pairs) for step in STEPS},
    }


def show(result: dict[str, Any]) -> None:
    """Print the medians."""
    table = Table("step", "seconds", "when it is over", title="medians", title_justify="left")
    table.columns[1].justify = "right"
    for step, seconds in result["steps"].items():
        table.add_row(step, f"{seconds:.2f}", STEPS[step])
    table.add_section()
    table.add_row("training", f"{result['training_seconds']:.2f}", "submission to first line")
    table.add_row("empty run", f"{result['empty_seconds']:.2f}", "submission to Completed")
    table.add_row("ratio", f"{result['ratio']:.2f}", "of each pair")
    Console().print(table)


if __name__ == "__main__":
    main()
