"""Where the garbage of Prefect's server is collected."""

import subprocess
import sys
import textwrap

SCRIPT = """
import gc, threading, time, weakref
from deployments.one_machine.prefect_server import collect_aside

class Node:
    pass

def cycle():
    node = Node()
    node.itself = node
    return weakref.ref(node)

where = set()
gc.callbacks.append(lambda phase, info: where.add(threading.current_thread().name))
collect_aside()
where.clear()
gone = [cycle() for _ in range(5000)]  # enough for many collections, were they automatic
end = time.monotonic() + 20
while any(ref() for ref in gone) and time.monotonic() < end:
    time.sleep(0.05)
print(sorted(where), any(ref() for ref in gone))
"""


def test_garbage_is_collected_but_never_in_the_event_loops_thread():
    """A thread made for that does it, within seconds; what allocates never collects."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT)], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split("\n")[0] == "['garbage'] False"
