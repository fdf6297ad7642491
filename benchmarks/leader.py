"""The leader's half at scale: results in, placements out, heartbeats between, over many workers. CPU time, one core.

Every worker runs one task; each result frees it, is committed, and the next task goes there. Beside each second of
results at the stated rate, every worker's heartbeat is heard once.
"""

from __future__ import annotations

import gc
import time
from collections import deque
from statistics import median

from wasmgrid.core import wire
from wasmgrid.core.job import Stats, StoredSpec, TaskResult
from wasmgrid.core.outcome import exited
from wasmgrid.core.resources import Resources
from wasmgrid.core.worker import WorkerInfo
from wasmgrid.protocol import events
from wasmgrid.protocol.leader import Leader

SHAPES = 200
ROUNDS = 5
RESULTS = 4000  # a round
RATE = 20_000  # results a second that the heartbeats are scaled to
WORKERS = (100, 1_000, 10_000)
ENDED = exited(0)
STATS = Stats(module_cached=True)


class Grid:
    """A leader, its workers, and what they run now."""

    def __init__(self, workers: int, *, tasks: int) -> None:
        self.leader = Leader(term=1, leader_id="s", known_workers=[], now=0.0)
        self.leader.begin(0.0)
        self.running: deque[tuple[str, wire.Assign]] = deque()
        self.names = [f"w{number}" for number in range(workers)]
        self.beats = 0.0
        self.now = 0.0
        each = max(1, tasks // SHAPES)
        for job_id in range(1, SHAPES + 1):
            spec = StoredSpec(cpus=1, memory_mb=100 + job_id, priority=job_id % 3, array=f"0-{each - 1}")
            arrived = events.JobArrived(job_id=job_id, tenant=f"t{job_id % 7}", spec=spec, module_sha256="m" * 64)
            self.note(self.leader.handle(arrived, 0.0))
        for name in self.names:
            capacity = Resources(milli_cpus=1000, memory_mb=1000, disk_mb=4000, slots=2)
            info = WorkerInfo(id=name, incarnation="1", version="1", capacity=capacity)
            self.note(self.leader.handle(events.Said(wire.Inventory(worker=info, term=1)), 0.0))

    def note(self, commands: list[events.Command]) -> None:
        for command in commands:
            match command:
                case events.ToWorker(worker_id, wire.Assign() as assign):
                    self.running.append((worker_id, assign))
                case events.Write(token):
                    self.note(self.leader.handle(events.Written(token), self.now))

    def round(self) -> float:
        """Seconds of CPU for `RESULTS` results and placements, and the heartbeats that fall into their time."""
        began = time.process_time()
        for _ in range(RESULTS):
            worker_id, assign = self.running.popleft()
            work = assign.work
            assert isinstance(work, wire.RunWork)
            result = TaskResult(
                job_id=work.job_id,
                index=work.first,
                attempt=assign.attempt,
                worker_id=worker_id,
                outcome=ENDED,
                stats=STATS,
                finished_at=10.0,  # so long that each task travels by itself
            )
            said = wire.Results(worker_id=worker_id, incarnation="1", tasks=[result])
            self.note(self.leader.handle(events.Said(said), self.now))
            self.now += 1 / RATE
            self.beats += len(self.names) / RATE
            while self.beats >= 1:
                self.beats -= 1
                self.beat()
        return time.process_time() - began

    def beat(self) -> None:
        worker_id, assign = self.running[0]
        work = assign.work
        assert isinstance(work, wire.RunWork)
        held = [wire.Held(attempt=assign.attempt, kind="run", id=work.job_id, index=work.first, phase="running")]
        said = wire.Heartbeat(worker_id=worker_id, incarnation="1", term=1, assigned_seq=1 << 30, held=held)
        self.note(self.leader.handle(events.Said(said), self.now))


def main() -> None:
    """Print CPU microseconds per placement over worker counts."""
    grids = {count: Grid(count, tasks=count + RESULTS * (ROUNDS + 1) + 50_000) for count in WORKERS}
    gc.collect()
    gc.freeze()
    taken: dict[int, list[float]] = {count: [] for count in WORKERS}
    for turn in range(ROUNDS + 1):
        for count, grid in grids.items():
            seconds = grid.round()
            if turn:
                taken[count].append(seconds / RESULTS * 1e6)
    print("workers   us of CPU per result and placement   placements/s")
    for count, times in taken.items():
        print(f"{count:>7}   {median(times):>34.1f}   {1e6 / median(times):>12.0f}")


if __name__ == "__main__":
    main()
