"""How the platform's own checkpoints are named: `{checkpoint path}/tr-…/attempt-N/checkpoint-M`, `….committed`."""

import re

_TRAINING = r"tr-[0-9a-f]{12}"
_NUMBERED = r"attempt-(?P<attempt>[0-9]+)/checkpoint-(?P<number>[0-9]+)"

OWN_FOLDER = re.compile(rf"{_TRAINING}/")
"""What the platform itself puts below a checkpoint path: a folder a training."""
NUMBERED = re.compile(_NUMBERED)
"""How a checkpoint is named below its training's folder."""
OWN_CHECKPOINT = re.compile(rf"(?:^|/){_TRAINING}/{_NUMBERED}/*$")
"""How the path of one of the platform's own checkpoints ends."""
LIKE_ONE_OF_OURS = re.compile(rf"/{_NUMBERED}/*$")
"""How the path of a copy of one ends: what is named so is meant to be gone on from."""
OF_ALL = re.compile(rf"(?:^|/){_TRAINING}(?:/attempt-[0-9]+)?/*$")
"""How the path of the folder of all checkpoints of a training, or of one of its attempts, ends."""
MARKER = re.compile(rf"(?:^|/){_TRAINING}/{_NUMBERED}\.committed$")
"""How the path of a marker ends."""
