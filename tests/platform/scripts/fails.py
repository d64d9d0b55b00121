"""Ends with exit code 3 after some words."""

import sys

for line in range(40):
    print("line", line)
print("the learning rate must not be negative", file=sys.stderr)
sys.exit(3)
