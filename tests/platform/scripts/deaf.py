"""Takes no notice of SIGTERM, nor does the process that it started."""

import signal
import subprocess
import sys
import time

signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what it starts inherits that
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print("deaf", flush=True)
while True:
    time.sleep(1)
