"""Environments of images that no lock file names any more, and builds that died half way."""

from collections.abc import Iterator
from functools import partial

from blocks.platform import Platform
from blocks.pools.environments import Environments
from blocks.pools.old_environments import Old, in_use, made_at, old, remove
from blocks.records import services, survey
from flows.reconcile.difference import Difference
from flows.reconcile.findings import Finding, Repair


def environments_of_nobody(platform: Platform) -> Iterator[Difference]:
    """Return the environments that nothing needs: no lock file, no process, no open attempt and no TensorBoard."""
    environments = Environments(platform.settings.home)
    there = old(environments)
    if not there:
        return
    needed, busy = _needed_since(platform), in_use([one.folder for one in there])
    for one in there:
        since = min(needed.get(one.image, float("inf")), needed.get("", float("inf")))
        # Who began once the environment of today was there, has that one.
        if one.folder in busy or since < made_at(environments, one.image):
            continue
        yield Difference(Finding(str(one.folder), Repair.REMOVE, _why(one)), partial(remove, environments, one))


def _needed_since(platform: Platform) -> dict[str, float]:
    """Return since when something is open that needs an image's environment; "" is for images of which nobody knows."""
    with platform.records.reading() as session:
        images = survey.images(session)
        boards = [row.created_at for row in services.all_of(session, "tensorboard")]
    catalogue = platform.catalogue
    begun = [("tensorboard", moment) for moment in boards]
    for name, granted_at in images.items():
        image = catalogue.image(name)
        begun.append((image.environment if image else "", granted_at))
    needed: dict[str, float] = {}
    for environment, moment in begun:
        needed[environment] = min(needed.get(environment, float("inf")), moment.timestamp())
    return needed


def _why(one: Old) -> str:
    if one.is_half_built:
        return f"a build of the image {one.image} that died half way, more than a day ago"
    return f"an environment of the image {one.image} that no lock file names any more and nobody uses"
