"""Takes ever more memory, part of it in a process of its own: the sum counts."""

import multiprocessing
import time

STEP = 64 * 2**20


def eat(name, most):
    held = []
    for _ in range(most):
        held.append(bytearray(b"x" * STEP))
        print(name, "holds", len(held) * STEP // 2**20, "MiB", flush=True)
        time.sleep(0.2)
    time.sleep(300)


if __name__ == "__main__":
    other = multiprocessing.get_context("spawn").Process(target=eat, args=("a worker", 10))
    other.start()
    eat("the script", 10)
