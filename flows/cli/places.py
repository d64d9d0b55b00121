"""What a person may write for a path in the terminal: CONTAINER or CONTAINER/PATH is in the platform's own store."""

from collections.abc import Mapping
from typing import Any, cast

from blocks.settings import Settings

FIELDS = ("algorithm_path", "output_path", "checkpoint_path")


def written_out(settings: Settings, where: str) -> str:
    """Return the whole path that a word stands for; `/…` and `./…` stay, for the check to refuse as they are."""
    if not where or "://" in where or where.startswith(("/", ".")):
        return where
    container, _, key = where.partition("/")
    return settings.obs(container, key)


def with_places(settings: Settings, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return a training's request, or a part of it, with its paths written out; what is no text stays for the check."""

    def whole(path: Any) -> Any:
        return written_out(settings, path) if isinstance(path, str) else path

    def entry(given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        fields = cast("dict[str, Any]", given)
        return fields | {"path": whole(fields["path"])} if "path" in fields else fields

    found = {key: whole(value) if key in FIELDS else value for key, value in request.items()}
    if isinstance(found.get("data_sets"), list):
        found["data_sets"] = [entry(given) for given in found["data_sets"]]
    return found
