"""One run of chaos: a grid, clients, faults, and what the checker says of it all."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.chaos import checker, evidence, faults
from tests.chaos.faults import Injector
from tests.chaos.grid import Layout, cables, running
from tests.chaos.load import Load
from tests.chaos.records import FaultKind

ENDS_WITHIN_S = 120.0  # after the last fault: a job's own time, the longest pause before a retry, and a busy machine


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a run did and what it found.

    `retries`: further starts after a program's own failure; `reruns`: after a fault. `wrong`: what the checker found,
    and the faults that did not happen.
    """

    seed: int
    layout: Layout
    jobs: Counter[str]
    faults: Counter[tuple[FaultKind, str]]
    starts: int
    retries: int
    reruns: int
    ended_within_s: float
    lost: int
    wrong: list[str]

    @property
    def kills(self) -> int:
        """How many processes were killed with -9."""
        return sum(number for (kind, _), number in self.faults.items() if kind in {FaultKind.KILL, FaultKind.RUNNER})


def chaos(
    directory: Path, *, seed: int, clients: int, rounds: int = 1, for_s: float = 0.0, layout: Layout | None = None
) -> Report:
    """So many rounds of faults and at least `for_s` seconds of them, while `clients` submit. Prints how it goes."""
    layout = layout or Layout(cables=cables())
    print(f"chaos with seed {seed}: {layout}", flush=True)
    with running(directory, layout) as grid:
        load, injector = Load(grid, clients=clients, seed=seed), Injector(grid, seed=seed)
        load.start()
        try:
            injector.run(rounds=rounds, for_s=for_s)
            grid.settle()
            load.stop_submitting()
            ended_within_s = load.finished(ENDS_WITHIN_S)
        finally:
            load.abandon()
        if load.failures:
            raise ExceptionGroup("clients failed", load.failures)
        found = evidence.gather(grid, load.submissions, injector.faults)
        wrong = [*checker.violations(found), *faults.missing(injector, cuts=layout.cables)]
        if wrong:
            told = [*wrong, *checker.history(found), *sorted(map(str, injector.faults)), grid.logs()]
            print(*told, sep="\n", flush=True)
        retries = sum(reason.startswith(checker.OWN_FAILURE) for reason in found.reasons.values())
        tasks = {(start.kind, start.id, start.index) for start in found.starts}
        return Report(
            seed=seed,
            layout=layout,
            jobs=Counter(one.program.name for one in load.submissions),
            faults=injector.counts,
            starts=len(found.starts),
            retries=retries,
            reruns=len(found.starts) - len(tasks) - retries,
            ended_within_s=ended_within_s,
            lost=sum(one.first_end is None for one in load.submissions),
            wrong=wrong,
        )
