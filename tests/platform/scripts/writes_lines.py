"""Writes many lines at once, on both of its outputs, some of them longer than a pipe takes in one piece."""

import sys

for number in range(20_000):
    stream = sys.stderr if number % 5 == 0 else sys.stdout
    print(f"line {number:05}", "x" * (9000 if number % 2000 == 0 else 20), file=stream)
