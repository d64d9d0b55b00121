"""Everything that can be said against a request before it is recorded: all of it at once, with nothing made."""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import cast

from blocks.catalogue.catalogue import Machine
from blocks.platform import Platform
from blocks.pools.interpreter import interpreter
from blocks.records import experiments
from blocks.records.words import ExperimentState
from blocks.storage import access
from blocks.storage.errors import StorageError
from blocks.storage.location import DERIVED_LIMIT
from blocks.storage.location import parse as parse_path
from flows.faults import Fault, Refused
from flows.names import composed, lookup_faults, path_problem
from flows.training import arguments, data_size
from flows.training.assignment import checkpoint_root
from flows.training.checkpoints.checkpoint import is_committed, newest_committed
from flows.training.checkpoints.manifest import UNCOMMITTED
from flows.training.checkpoints.paths import LIKE_ONE_OF_OURS, OF_ALL, OWN_CHECKPOINT
from flows.training.fields import request_key_faults
from flows.training.spec import TrainingSpec, catalogue_faults, parse, request_faults, whole_number
from flows.training.spec import warnings as spec_warnings

SOURCE_BYTES = 1 << 20
COUNT_SECONDS = 10.0  # for the sizes of all data sets together: a list of a million objects is a thousand requests
FILES_LOOKED_AT = 1000
NONE_THERE = "None that counts is there: leave the path out, or name another."


@dataclass(frozen=True)
class Checked:
    """A request that can be carried out, and what a person may still want to know of it."""

    spec: TrainingSpec
    warnings: list[str]


def check(platform: Platform, raw: Mapping[str, object], machine: Machine | None, request_key: object = "") -> Checked:
    """Check a request against the rules, the catalogue, the records and the places that it names.

    Args:
        platform: where to look.
        raw: the request as it was sent.
        machine: the machine that must hold its instances; None where a scheduler finds them a place.
        request_key: what its sender calls this very request.

    Raises:
        Refused: with every fault.
    """
    more = catalogue_faults(raw, platform.catalogue, machine)
    more += _experiment_faults(platform, raw.get("experiment"))
    denied = _place_faults(platform, raw)
    more += denied
    too_large, warnings = _size(platform, raw, {fault.field for fault in denied})
    more += too_large
    source = ""
    if not any(fault.field == "algorithm_path" for fault in denied):
        source, unusable = _source(platform, raw, _python(platform, raw, machine))
        more += unusable
    if faults := request_faults(raw, more + request_key_faults(request_key)):
        raise Refused(faults)
    spec = parse(raw)
    if machine and interpreter().note:
        warnings.append(interpreter().note)
    warnings += spec_warnings(spec) + arguments.warnings(spec.hyperparameters, source, spec.entry_point)
    return Checked(spec, warnings)


def _experiment_faults(platform: Platform, name: object) -> list[Fault]:
    if lookup_faults("experiment", name) or not isinstance(name, str):
        return []  # told with the other fields
    with platform.records.reading() as session:
        found = experiments.lookup(session, composed(name))
    if found is None or found.state == ExperimentState.ACTIVE:
        return []
    remedy = (
        f"Retry its creation first: `emf experiment retry {found.id}`."
        if found.state == ExperimentState.CREATE_FAILED
        else "Wait until it is ACTIVE, or name another one."
    )
    return [Fault("experiment", name, f"this experiment is {found.state}", remedy)]


def _places(raw: Mapping[str, object]) -> list[access.Wanted]:
    """Return every path of the request that is written well enough to be tried."""
    code, output, checkpoints = (str(raw.get(f"{word}_path") or "") for word in ("algorithm", "output", "checkpoint"))
    wanted = [access.Wanted(code, "algorithm_path", write=False), access.Wanted(output, "output_path", write=True)]
    wanted += _checkpoint_places(checkpoints)
    wanted += [place for _, place in _data_sets(raw)]
    return [one for one in wanted if one.path and path_problem(one.path) is None]


def _checkpoint_places(path: str) -> list[access.Wanted]:
    """Return where checkpoints will be written; another training's are elsewhere, and only read."""
    if path_problem(path):
        return []
    root = checkpoint_root(path)
    written = access.Wanted(root, "checkpoint_path", write=True)
    if root.rstrip("/") == path.rstrip("/") and LIKE_ONE_OF_OURS.search(path) is None:
        return [written]
    return [written, access.Wanted(path, "checkpoint_path", write=False)]


def _data_sets(raw: Mapping[str, object]) -> list[tuple[str, access.Wanted]]:
    """Return the name of every data set, and its path."""
    data_sets, found = raw.get("data_sets"), list[tuple[str, access.Wanted]]()
    for place, entry in enumerate(cast("list[object]", data_sets) if isinstance(data_sets, list | tuple) else []):
        fields = cast("dict[str, object]", entry) if isinstance(entry, dict) else {}
        path = access.Wanted(path=str(fields.get("path") or ""), field=f"data_sets[{place}].path", write=False)
        found.append((str(fields.get("name")), path))
    return found


def _place_faults(platform: Platform, raw: Mapping[str, object]) -> list[Fault]:
    places = _places(raw)
    return [
        Fault(fault.field, fault.path, fault.problem.rstrip("."), fault.remedy)
        for fault in access.check(platform.storage, places)
    ] or _uncommitted(platform, places)


def _uncommitted(platform: Platform, places: Sequence[access.Wanted]) -> list[Fault]:
    """Return what is wrong with a checkpoint of another training that is to be gone on from."""
    given = [one for one in places if one.field == "checkpoint_path" and not one.write]
    faults: list[Fault] = []
    for one in given:
        try:
            place = parse_path(one.path, DERIVED_LIMIT)
            if OF_ALL.search(one.path):
                newest = newest_committed(platform.storage, place)
                problem = "is the folder of all checkpoints of a training, and not one of them"
                faults.append(Fault(one.field, one.path, problem, f"The newest is {newest}." if newest else NONE_THERE))
            elif OWN_CHECKPOINT.search(one.path) and not is_committed(platform.storage, place):
                faults.append(Fault(one.field, one.path, UNCOMMITTED, "Name one that `emf training show` lists."))
        except StorageError as error:
            faults.append(Fault(one.field, one.path, error.problem.rstrip("."), error.remedy))
    return faults


def _python(platform: Platform, raw: Mapping[str, object], machine: Machine | None) -> str:
    """Return the Python that the script will run with, as in "3.11": this machine's, or else its container's."""
    if machine:
        return ".".join(map(str, interpreter().version))
    image = platform.catalogue.image(str(raw.get("image")))
    return image.python if image else ""


def _source(platform: Platform, raw: Mapping[str, object], python: str) -> tuple[str, list[Fault]]:
    """Return the script's text, and what is wrong with the entry point: not there, too large, not Python."""
    path, entry_point = raw.get("algorithm_path"), raw.get("entry_point")
    if not isinstance(path, str) or not isinstance(entry_point, str) or not path or path_problem(path):
        return "", []
    try:
        place = parse_path(path.rstrip("/") + "/" + entry_point, DERIVED_LIMIT)
        if platform.storage.stat(place) is None:
            return "", [Fault("entry_point", entry_point, f"is not at {path}", _scripts_at(platform, path))]
        text = platform.storage.read(place, SOURCE_BYTES).decode("utf-8")
    except UnicodeDecodeError:
        return "", [Fault("entry_point", entry_point, "is not text in UTF-8", "Name the Python script to start.")]
    except StorageError as error:
        return "", [Fault("entry_point", entry_point, error.problem.rstrip("."), error.remedy)]
    fault = arguments.syntax_fault(text, entry_point, python)
    return text, [fault] if fault else []


def _scripts_at(platform: Platform, path: str) -> str:
    """Say which Python files there are, as far as the first page of a list tells."""
    first = list(islice(platform.storage.entries(parse_path(path)), FILES_LOOKED_AT))
    if there := sorted(entry.key for entry in first if entry.key.endswith(".py"))[:10]:
        return f"There are: {', '.join(there)}."
    looked = f" among its first {FILES_LOOKED_AT} files" if len(first) == FILES_LOOKED_AT else ""
    return f"There is no Python file at the algorithm path{looked}."


def _size(platform: Platform, raw: Mapping[str, object], denied: Collection[str]) -> tuple[list[Fault], list[str]]:
    """Return what is wrong with the size of what is copied to the instance, and what is not known; a NAS is mounted."""
    copied = [
        (name, one)
        for name, one in _data_sets(raw)
        if one in _places(raw) and one.field not in denied and not one.path.startswith("nas://")
    ]
    end, counts, faults = time.monotonic() + COUNT_SECONDS, list[data_size.Count](), list[Fault]()
    for name, one in copied:
        try:
            counts.append(data_size.count(name, platform.storage.entries(parse_path(one.path)), end))
        except StorageError as error:
            faults.append(Fault(one.field, one.path, error.problem.rstrip("."), error.remedy))
    limit = whole_number(raw.get("data_storage_gb", TrainingSpec.model_fields["data_storage_gb"].default))
    return faults + data_size.faults(counts, limit), data_size.warnings(counts, COUNT_SECONDS)
