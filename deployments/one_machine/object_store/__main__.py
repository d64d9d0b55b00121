"""`python -m deployments.one_machine.object_store`: the object store, until it is told to end."""

from swift.common import utils

utils.monkey_patch()  # before anything else is imported

import os  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402

from blocks import settings  # noqa: E402
from deployments.one_machine.object_store import server  # noqa: E402

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        server.serve(
            settings.load(),
            os.environ["EMF_OBJECT_STORE_ACCESS_KEY"],
            os.environ["EMF_OBJECT_STORE_SECRET_KEY"],
            os.environ["EMF_SWIFT_HASH_SUFFIX"],
        )
    except KeyError as missing:
        sys.exit(f"{missing} is not in the environment: `emf up` takes it from EMF_HOME/secrets.env.")
