"""What is said at the door by one who may: each verb, with a body that is understood."""

from typing import Any

SECRET = "what claim codes are made from"
TOKEN = "a token of the instance's own"

EVIDENCE = {"cause": "exit", "exit_code": 0}
GOOD: dict[str, dict[str, Any]] = {
    "beat": {"progress": "running"},
    "run": {},
    "resumed": {"path": "file:///c/checkpoint-1", "is_verified": True, "differs": []},
    "checkpoint": {"number": 1, "path": "file:///c/checkpoint-1", "files": 2, "bytes": 3},
    "warn": {"message": "Warning: odd"},
    "stage-out": {"evidence": EVIDENCE},
    "end": {"evidence": {"cause": "exit", "exit_code": 1}},
}
