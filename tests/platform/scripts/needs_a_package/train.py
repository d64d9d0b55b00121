"""Uses a package that its requirements.txt installs, and the image's own packages beside it."""

import importlib.util

import greeting
import numpy

print("greeting", greeting.WORDS, greeting.__file__)
print("numpy", numpy.__version__, numpy.__file__)
print("torch", importlib.util.find_spec("torch").origin)
