"""What Swift's daemons do, once every few minutes, as a green thread of the one process.

Accounts learn what their containers hold, listings learn what a busy moment kept from them, and objects whose
X-Delete-At is over go. Each is a sweep of small files; none forks.
"""

import time
from pathlib import Path

import eventlet
from swift.common import wsgi
from swift.common.utils import get_logger
from swift.container.updater import ContainerUpdater
from swift.obj.expirer import ObjectExpirer
from swift.obj.updater import ObjectUpdater

from deployments.one_machine.object_store import configuration

EVERY_SECONDS = 120


def sweep(folder: Path) -> None:
    """Run each of the three once."""
    conf = configuration.common(folder) | {"interval": str(EVERY_SECONDS)}
    ContainerUpdater(conf).run_once()
    objects = ObjectUpdater(conf)
    objects.begin = time.time()
    for device in (folder / "devices").iterdir():
        objects.object_sweep(str(device))
    client = wsgi.ConfigString(configuration.internal_client(folder))
    ObjectExpirer(conf | {"dequeue_from_legacy": "true", "internal_client_conf_path": client}).run_once()


def run_for_ever(folder: Path) -> None:
    """Sweep on a timer; a sweep that fails is told, and the next one tries again."""
    logger = get_logger(configuration.common(folder), log_route="upkeep")
    while True:
        eventlet.sleep(EVERY_SECONDS)
        try:
            sweep(folder)
        except Exception:
            logger.exception("The upkeep of the object store failed; it is tried again in %d seconds.", EVERY_SECONDS)
