"""The four servers in one process: the inner three listen on ports that the system picks, the rings name them.

The rings are written anew at every start: with one device there is only one place where anything can be.
Called by `__main__`, after Swift's monkey patch.
"""

from pathlib import Path

import eventlet
import eventlet.wsgi
from eventlet.greenio import GreenSocket
from swift.common import storage_policy, utils, wsgi
from swift.common.http_protocol import SwiftHttpProtocol
from swift.common.ring import RingBuilder

from blocks.settings import LOOPBACK, Settings
from deployments.one_machine.object_store import configuration, upkeep

DEVICE = "d1"
PART_POWER = 4  # never changed once objects exist: it decides where they lie
MAX_CLIENTS = 1024
MAX_LINE = 8192  # bytes of a request line


def write_ring(folder: Path, kind: str, port: int) -> None:
    """Write the ring of one kind of server: one device on this port of the loopback."""
    builder = RingBuilder(PART_POWER, 1, 1)
    builder.add_dev({"region": 1, "zone": 1, "ip": LOOPBACK, "port": port, "device": DEVICE, "weight": 1.0})
    builder.rebalance(seed=1)
    builder.get_ring().save(str(folder / f"{kind}.ring.gz"))


def prepare(folder: Path, hash_suffix: str) -> None:
    """Make the folders and `swift.conf`."""
    for part in (f"devices/{DEVICE}", "recon"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    swift_conf = folder / "swift.conf"
    swift_conf.touch(0o600)
    swift_conf.write_text(configuration.swift_conf(hash_suffix), encoding="utf-8")


def serve(settings: Settings, access_key: str, secret_key: str, hash_suffix: str) -> None:
    """Serve until the process is told to end."""
    folder = settings.home / "object_store"
    prepare(folder, hash_suffix)
    sockets = {kind: eventlet.listen((LOOPBACK, 0)) for kind in configuration.SERVERS}
    for kind, socket in sockets.items():
        write_ring(folder, kind, socket.getsockname()[1])
    utils.set_swift_dir(str(folder))
    storage_policy.reload_storage_policies()
    for kind, socket in sockets.items():
        eventlet.spawn(_run, socket, configuration.storage_server(kind, folder))
    eventlet.spawn(upkeep.run_for_ever, folder)
    front = eventlet.listen((LOOPBACK, settings.ports.object_store), backlog=1024)
    _run(front, configuration.proxy(folder, settings.region, access_key, secret_key))


def _run(socket: GreenSocket, config: str) -> None:
    eventlet.wsgi.server(
        socket,
        wsgi.loadapp(wsgi.ConfigString(config)),
        utils.NullLogger(),
        max_size=MAX_CLIENTS,
        protocol=SwiftHttpProtocol,
        socket_timeout=60,
        url_length_limit=MAX_LINE,
        capitalize_response_headers=False,  # S3's own clients want `ETag`, not `Etag`
    )
