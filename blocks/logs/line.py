"""One line of a log, and its JSON as the Log & Crash Search fields of the guide spell it."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from json.encoder import encode_basestring
from typing import Any, Literal, NamedTuple

Level = Literal["INFO", "WARNING", "ERROR"]
Source = Literal["script", "platform"]
LOG_TYPE = "NHNCloud-AIEasyMaker"
TRAINING = "easymaker.training"


class LogLine(NamedTuple):
    """One line. A named tuple: a script may write a hundred thousand of them a second.

    Attributes:
        time: when the platform read it, UTC.
        sequence: its number within the attempt's instance: 1, 2, 3 …, without gaps.
        piece: 0 for a whole line; a line over 64 KiB is stored as several, with piece 1, 2, 3 …
    """

    time: datetime
    body: str
    training_id: str
    attempt: int
    instance: int
    sequence: int
    log_level: Level = "INFO"
    source: Source = "script"
    category: str = TRAINING
    log_type: str = LOG_TYPE
    piece: int = 0


def stamp(time: datetime) -> str:
    """Return a time as `2026-11-03T12:00:00.000000Z`: always as wide, so that text sorts as time does."""
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


def encode(lines: Iterable[LogLine]) -> bytes:
    """Return the lines as NDJSON in UTF-8.

    Written by hand, as half of what storing a line takes would be `json.dumps`; what all lines of a batch share is
    written once. That it is the same JSON is tested.
    """
    written: list[str] = []
    head = tail = ""
    shared: tuple[object, ...] | None = None
    for line in lines:
        time, body, training_id, attempt, instance, sequence, level, source, category, log_type, piece = line
        of_line = (time, training_id, attempt, instance, level, source, category, log_type)
        if of_line != shared:
            shared = of_line
            head = f'{{"time":"{stamp(time)}","body":'
            tail = (
                f',"logLevel":"{level}","logType":{encode_basestring(log_type)},'
                f'"category":{encode_basestring(category)},"trainingId":{encode_basestring(training_id)},'
                f'"attempt":{attempt},"instance":{instance},"source":"{source}"'
            )
        numbered = f',"sequence":{sequence},"piece":{piece}' if piece else f',"sequence":{sequence}'
        written.append(f"{head}{encode_basestring(body)}{tail}{numbered}}}\n")
    return "".join(written).encode("utf-8", "replace")


def decode(text: bytes) -> LogLine:
    """Read one line of NDJSON back.

    Raises:
        ValueError: it is not a whole line of ours.
    """
    try:
        said: dict[str, Any] = json.loads(text)
        return LogLine(
            time=datetime.fromisoformat(said["time"]),
            body=said["body"],
            training_id=said["trainingId"],
            attempt=said["attempt"],
            instance=said["instance"],
            sequence=said["sequence"],
            log_level=said["logLevel"],
            source=said["source"],
            category=said["category"],
            log_type=said["logType"],
            piece=said.get("piece", 0),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a line of a log: {error!r}") from error
