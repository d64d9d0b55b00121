"""Everything that can be said against a request before it is recorded: all of it at once, with nothing made."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import cast

from blocks.catalogue.catalogue import GIB, Machine
from blocks.platform import Platform
from blocks.records import experiments
from blocks.records.words import ExperimentState
from blocks.storage import access
from blocks.storage.errors import StorageError
from blocks.storage.location import DERIVED_LIMIT
from blocks.storage.location import parse as parse_path
from flows.faults import ABSENT, Fault, Refused
from flows.names import composed, lookup_faults, path_problem
from flows.training import arguments
from flows.training.fields import request_key_faults
from flows.training.spec import TrainingSpec, catalogue_faults, parse, request_faults, whole_number

SOURCE_BYTES = 1 << 20


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
    more += _size_faults(platform, raw, {fault.field for fault in denied})
    if not any(fault.field == "algorithm_path" for fault in denied):
        more += _source_faults(platform, raw)
    if faults := request_faults(raw, more + request_key_faults(request_key)):
        raise Refused(faults)
    spec = parse(raw)
    return Checked(spec, arguments.warnings(spec.hyperparameters, _source(platform, spec), spec.entry_point))


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
    wanted = [
        access.Wanted(path=str(raw.get(field) or ""), field=field, write=field != "algorithm_path")
        for field in ("algorithm_path", "output_path", "checkpoint_path")
    ]
    wanted += [place for _, place in _data_sets(raw)]
    return [one for one in wanted if one.path and path_problem(one.path) is None]


def _data_sets(raw: Mapping[str, object]) -> list[tuple[str, access.Wanted]]:
    """Return the name of every data set, and its path."""
    data_sets, found = raw.get("data_sets"), list[tuple[str, access.Wanted]]()
    for place, entry in enumerate(cast("list[object]", data_sets) if isinstance(data_sets, list | tuple) else []):
        fields = cast("dict[str, object]", entry) if isinstance(entry, dict) else {}
        path = access.Wanted(path=str(fields.get("path") or ""), field=f"data_sets[{place}].path", write=False)
        found.append((str(fields.get("name")), path))
    return found


def _place_faults(platform: Platform, raw: Mapping[str, object]) -> list[Fault]:
    return [
        Fault(fault.field, fault.path, fault.problem.rstrip("."), fault.remedy)
        for fault in access.check(platform.storage, _places(raw))
    ]


def _source_faults(platform: Platform, raw: Mapping[str, object]) -> list[Fault]:
    """Return what is wrong with the entry point: not there, too large, not Python."""
    path, entry_point = raw.get("algorithm_path"), raw.get("entry_point")
    if not isinstance(path, str) or not isinstance(entry_point, str) or not path or path_problem(path):
        return []
    try:
        place = parse_path(path.rstrip("/") + "/" + entry_point, DERIVED_LIMIT)
        found = platform.storage.stat(place)
        if found is None:
            there = sorted(e.key for e in platform.storage.entries(parse_path(path)) if e.key.endswith(".py"))[:10]
            remedy = f"There are: {', '.join(there)}." if there else "There is no Python file at the algorithm path."
            return [Fault("entry_point", entry_point, f"is not at {path}", remedy)]
        text = platform.storage.read(place, SOURCE_BYTES).decode("utf-8")
    except UnicodeDecodeError:
        return [Fault("entry_point", entry_point, "is not text in UTF-8", "Name the Python script to start.")]
    except StorageError as error:
        return [Fault("entry_point", entry_point, error.problem.rstrip("."), error.remedy)]
    image = platform.catalogue.image(str(raw.get("image")))
    fault = arguments.syntax_fault(text, entry_point, image.python if image else "")
    return [fault] if fault else []


def _source(platform: Platform, spec: TrainingSpec) -> str:
    place = parse_path(spec.algorithm_path.rstrip("/") + "/" + spec.entry_point, DERIVED_LIMIT)
    return platform.storage.read(place, SOURCE_BYTES).decode("utf-8")


def _size_faults(platform: Platform, raw: Mapping[str, object], denied: Collection[str]) -> list[Fault]:
    """Return a fault where what is copied to the instance is larger than its data storage; a NAS is mounted."""
    limit = whole_number(raw.get("data_storage_gb", TrainingSpec.model_fields["data_storage_gb"].default))
    copied = [
        (name, one.path)
        for name, one in _data_sets(raw)
        if one in _places(raw) and one.field not in denied and not one.path.startswith("nas://")
    ]
    try:
        sizes = [(name, access.size(platform.storage, path)) for name, path in copied]
    except StorageError as error:
        return [Fault("data_sets", ABSENT, error.problem.rstrip("."), error.remedy)]
    total = sum(size for _, size in sizes)
    if limit is None or limit < 1 or total <= limit * GIB:
        return []
    each = ", ".join(f"{name} {size / GIB:.1f} GB" for name, size in sizes)
    remedy = f"Give at least {-(-total // GIB)}."
    return [Fault("data_storage_gb", limit, f"the data sets need more: {each}", remedy)]
