"""Dies from a signal, as a broken extension module does."""

import os
import signal

print("about to touch memory that is not ours")
signal.signal(signal.SIGSEGV, signal.SIG_DFL)
os.kill(os.getpid(), signal.SIGSEGV)
