"""What a driver and the harness say to each other: a line of JSON each way over stdin and stdout.

    harness -> driver   {"module": PATH, "native": PATH, "first": N, "count": N}
    driver -> harness   {"ready": VERSION} once; then {"seconds": S, "good": N, "task_mb": MB}

`good` is how many tasks printed what they had to; `task_mb` is null where tasks have no process of their own. A driver
ends when its stdin does. It imports nothing but the standard library, because it runs in every peer's environment.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

PROCESSES = os.cpu_count() or 1  # how many tasks a peer may run at a time
EXPECTED = {"small": b"hello %d\n", "hello": b"hello %d\n", "compute": b"%d -0.169255072\n"}


@dataclass(frozen=True)
class Work:
    """Tasks `first` .. `first + count - 1` of a module; each gets its number as its only argument."""

    module: str
    native: str
    first: int
    count: int

    @property
    def indexes(self) -> range:
        """The tasks' numbers."""
        return range(self.first, self.first + self.count)


def good(work: Work, outputs: Iterable[bytes]) -> int:
    """How many of the outputs are what the tasks had to print, in order."""
    kind = os.path.basename(work.module).partition("-")[0]  # noqa: PTH119 - a name, no file
    return sum(output.startswith(EXPECTED[kind] % index) for index, output in zip(work.indexes, outputs, strict=True))


def serve(
    version: str, run: Callable[[Work], Sequence[bytes] | int], weigh: Callable[[], float | None] = lambda: None
) -> None:
    """Say that all is ready, then run what comes; `run` gives the outputs in order, or how many were right.

    `weigh`, asked after each run, gives `task_mb`.
    """
    _say({"ready": version})
    for line in sys.stdin:
        work = Work(**json.loads(line))
        began = time.perf_counter()
        outputs = run(work)
        took = time.perf_counter() - began
        right = outputs if isinstance(outputs, int) else good(work, outputs)
        _say({"seconds": took, "good": right, "task_mb": weigh()})


def _say(words: dict[str, object]) -> None:
    print(json.dumps(words), file=_OUT, flush=True)


# A peer may print what it likes: what belongs to the harness has a descriptor of its own.
_OUT = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
