"""The bare loop, which is the limit: a process per core, each runs its share of the tasks one after the other.

Nothing is kept, nothing can be stopped, and a guest that crashes its process takes the rest along.
"""

from __future__ import annotations

import multiprocessing as mp
from collections.abc import Sequence
from importlib.metadata import version
from multiprocessing.connection import Connection, wait

from benchmarks.peers.drivers import guest
from benchmarks.peers.drivers.driver import PROCESSES, Work, serve

_SHARES = 32  # so that a process that the machine held up does not let the other wait


def loop(asked: Connection) -> None:
    """A process: takes (module, first, count), gives the outputs."""
    while (share := asked.recv()) is not None:
        path, first, count = share
        run = guest.program(path).run
        asked.send([run(index) for index in range(first, first + count)])


class Loops:
    """The processes, and which share is next."""

    def __init__(self) -> None:
        context = mp.get_context("spawn")
        self._ends = []
        for _ in range(PROCESSES):
            ours, theirs = context.Pipe()
            context.Process(target=loop, args=(theirs,), daemon=True).start()
            self._ends.append(ours)

    def run(self, work: Work) -> Sequence[bytes]:
        """All tasks, over all processes; the outputs in order."""
        size = max(1, work.count // _SHARES)
        last = work.first + work.count
        shares = [(work.module, at, min(size, last - at)) for at in range(work.first, last, size)]
        outputs: dict[int, list[bytes]] = {}
        held: dict[Connection, int] = {}
        for end in self._ends:
            if shares:
                held[end] = self._give(end, shares.pop())
        while held:
            for end in [each for each in wait(list(held)) if isinstance(each, Connection)]:
                outputs[held.pop(end)] = end.recv()
                if shares:
                    held[end] = self._give(end, shares.pop())
        return [output for first in sorted(outputs) for output in outputs[first]]

    def _give(self, end: Connection, share: tuple[str, int, int]) -> int:
        end.send(share)
        return share[1]


if __name__ == "__main__":
    serve(f"wasmtime-py {version('wasmtime')}", Loops().run)
