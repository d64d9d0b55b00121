"""The door that instances knock at: the verbs of an attempt over HTTP, each in one transaction of the records."""

import hmac
import json
import math
from collections.abc import Awaitable, Callable
from dataclasses import fields
from datetime import timedelta
from typing import Any, cast

from sqlalchemy.orm import Session
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from blocks.errors import BlockError
from blocks.records import attempt as verbs
from blocks.records import checkpoints
from blocks.records.database import Records
from blocks.records.errors import BadValue, ClaimedTwice, Fenced, NotAllowed, NotUnderstood, RecordsAway
from blocks.records.tables import Attempt, now
from blocks.records.transitions import note
from blocks.records.words import Phase, TrainingState
from flows.controller.assign import Assigner, Unassignable
from flows.controller.pulse import Pulse
from flows.training.checkpoints.going_on import go_on
from flows.training.ends import attempts
from flows.training.ends.verdict import Cause, Evidence
from flows.training.spec import TrainingSpec

Body = dict[str, Any]
Verb = Callable[[Session, Attempt, Body], Body]
Endpoint = Callable[[Request], Awaitable[JSONResponse]]

LIMIT_BYTES = 1 << 20


def app(assigner: Assigner, secret: str, pulse: Pulse | None = None) -> Starlette:
    """Return the door as an ASGI app.

    Args:
        assigner: what makes the answer to a claim.
        secret: what claim codes are made from.
        pulse: what `/health` tells of: since when instances are heard, and which of the controller's loops are late.
    """
    pulse = pulse or Pulse()
    return Starlette(
        routes=[
            Route("/health", _health(pulse)),
            Route("/attempts/{attempt_id}/claim", _claims(assigner, secret, pulse), methods=["POST"]),
            Route("/attempts/{attempt_id}/{verb}", _calls(assigner.platform.records, pulse), methods=["POST"]),
        ]
    )


def _health(pulse: Pulse) -> Endpoint:
    async def health(_request: Request) -> JSONResponse:
        late = pulse.late()
        said = {"status": f"late: {', '.join(late)}" if late else "ok"}
        return JSONResponse(said | {"listening_since": pulse.listening_since.isoformat()}, 503 if late else 200)

    return health


def _claims(assigner: Assigner, secret: str, pulse: Pulse) -> Endpoint:
    async def claim(request: Request) -> JSONResponse:
        attempt_id = request.path_params["attempt_id"]

        def work(body: Body) -> Body:
            if not hmac.compare_digest(body["code"], verbs.claim_code(secret, attempt_id)):
                raise Fenced(f"This is not the code that claims the attempt {attempt_id}.")
            _claim(assigner.platform.records, attempt_id, str(body["token"]), str(body["flow_run_id"]))
            return _assign(assigner, attempt_id)

        return await _answer(request, work, pulse)

    return claim


def _calls(records: Records, pulse: Pulse) -> Endpoint:
    async def call(request: Request) -> JSONResponse:
        attempt_id, verb = request.path_params["attempt_id"], VERBS.get(request.path_params["verb"])
        if verb is None:
            return JSONResponse({"message": f"There is no such call; there are {', '.join(VERBS)}."}, 404)
        token = request.headers.get("authorization", "").removeprefix("Bearer ")

        def work(body: Body) -> Body:
            with records.writing() as session:
                if verb is _end and (told := _told_before(session, attempt_id, token, body)):
                    return told
                attempt = verbs.authenticate(session, attempt_id, token)
                if (seconds := _ran_seconds(body)) is not None:
                    verbs.ran(attempt, seconds)
                return verb(session, attempt, body)

        return await _answer(request, work, pulse)

    return call


def _claim(records: Records, attempt_id: str, token: str, flow_run_id: str) -> None:
    """Claim the attempt; where a second comes with its code before it runs, nobody can tell who is its run.

    Prefect keeps the code, and whoever reaches Prefect can read it: such an attempt ends, and is tried again.
    """
    refused: ClaimedTwice | None = None
    with records.writing() as session:
        try:
            verbs.claim(session, attempt_id, token, flow_run_id)
        except ClaimedTwice as error:
            refused = error  # raised once what follows is in the records
            attempt = session.get_one(Attempt, attempt_id)
            if attempt.phase == Phase.STAGING_IN:
                attempts.close(session, attempt, Evidence(Cause.PLATFORM, error="It was claimed twice."))
    if refused:
        raise refused


def _assign(assigner: Assigner, attempt_id: str) -> Body:
    """Return the assignment of an attempt that was just claimed; one that can never be made ends it."""
    records = assigner.platform.records
    try:
        with records.reading() as session:  # which holds up nobody, however long files take
            return assigner.assignment(session.get_one(Attempt, attempt_id)).model_dump(mode="json")
    except Unassignable as error:
        with records.writing() as session:
            fresh = verbs.locked(session, attempt_id)
            if fresh is not None and fresh.ended_at is None:
                attempts.refuse(session, fresh, str(error))
        raise Fenced(str(error)) from error


async def _body(request: Request) -> Body:
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > LIMIT_BYTES:
            raise ValueError(f"it has more than {LIMIT_BYTES} bytes")
    body: object = json.loads(raw or b"{}")
    if not isinstance(body, dict):
        raise TypeError("it is no JSON object")
    return cast("Body", body)


async def _answer(request: Request, work: Callable[[Body], Body], pulse: Pulse) -> JSONResponse:
    """Do the work in a thread, and turn what the records refuse into a status that the instance understands.

    410: the attempt no longer counts. 422: what was sent is wrong. 503: what is wrong is here; ask again.
    """
    try:
        return JSONResponse(await run_in_threadpool(work, await _body(request)))
    except (Fenced, NotAllowed) as error:
        return JSONResponse({"message": str(error)}, 410)
    except (BadValue, KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        return JSONResponse({"message": f"This call is not understood: {error!r}"}, 422)
    except BlockError as error:
        if isinstance(error, RecordsAway | NotUnderstood):
            pulse.listen_anew()  # a beat that cannot be written down is no silence
        return JSONResponse({"message": str(error)}, 503)


def _beat(_session: Session, attempt: Attempt, body: Body) -> Body:
    return {"wish": verbs.beat(attempt, str(body.get("progress", "")))}


def _run(session: Session, attempt: Attempt, _body: Body) -> Body:
    verbs.run(session, attempt)
    return {}


def _checkpoint(session: Session, attempt: Attempt, body: Body) -> Body:
    number, files, size = (int(body[key]) for key in ("number", "files", "bytes"))
    keep = TrainingSpec.model_validate(attempt.training.request).checkpoints_kept
    taken_at = now() - timedelta(seconds=max(0.0, float(body.get("age_seconds", 0))))
    checkpoints.committed(
        session, attempt, number, str(body["path"]), files=files, size=size, keep=keep, taken_at=taken_at
    )
    return {}


def _resumed(session: Session, attempt: Attempt, body: Body) -> Body:
    differs = [str(one) for one in body.get("differs", [])]
    go_on(session, attempt, str(body["path"]), is_verified=bool(body["is_verified"]), differs=differs)
    return {}


def _warn(session: Session, attempt: Attempt, body: Body) -> Body:
    note(session, attempt.training, str(body["message"])[:2000])
    return {}


def _stage_out(session: Session, attempt: Attempt, body: Body) -> Body:
    evidence = attempts.in_phase(attempt, _evidence(body))
    verdict = attempts.judge(attempt, evidence)
    on_the_way = {
        TrainingState.COMPLETE: TrainingState.COMPLETE_IN_PROGRESS,
        TrainingState.STOPPED: TrainingState.STOP_IN_PROGRESS,
        TrainingState.FAIL_TRAIN: TrainingState.FAIL_TRAIN_IN_PROGRESS,
    }.get(verdict.state)
    verbs.stage_out(
        session, attempt, on_the_way, reason=verdict.reason, message=verdict.message, evidence=evidence.to_json()
    )
    return {}


def _end(session: Session, attempt: Attempt, body: Body) -> Body:
    verdict = attempts.close(session, attempt, _evidence(body))
    return {"state": verdict.state, "reason": verdict.reason or "", "message": verdict.message}


def _told_before(session: Session, attempt_id: str, token: str, body: Body) -> Body | None:
    """Return the answer to an end that was told already: the first answer was lost on its way."""
    attempt = verbs.ended_alike_before(session, attempt_id, token, _evidence(body).to_json())
    if attempt is None:
        return None
    # Its own end, whatever a person has done with the training since.
    return {"state": attempt.outcome, "reason": attempt.reason, "message": attempt.message}


def _ran_seconds(body: Body) -> float | None:
    """Return for how long the script has run, as the instance tells it; one of an older version tells nothing."""
    if "ran_seconds" not in body:
        return None
    seconds = float(body["ran_seconds"])
    if not 0 <= seconds < math.inf:
        raise ValueError(f"ran_seconds is {seconds}; it must be a number of seconds, 0 or more")
    return seconds


def _evidence(body: Body) -> Evidence:
    known = {field.name for field in fields(Evidence)}
    told: Body = {key: value for key, value in dict(body["evidence"]).items() if key in known}
    return Evidence(Cause(told.pop("cause")), **told)


VERBS: dict[str, Verb] = {
    "beat": _beat,
    "run": _run,
    "resumed": _resumed,
    "checkpoint": _checkpoint,
    "warn": _warn,
    "stage-out": _stage_out,
    "end": _end,
}
