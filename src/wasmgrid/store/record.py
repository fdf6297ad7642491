"""What a leader says of tasks and jobs, as one write: of words that wait together, one for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import sqlalchemy as sa

from wasmgrid.core.job import TaskRange, TaskResult
from wasmgrid.store.jobs import Jobs
from wasmgrid.store.leadership import Leaderships
from wasmgrid.store.results import Results
from wasmgrid.store.rows import EndedAttempt, FinishedJob, Refused


@dataclass(frozen=True)
class Recorder:
    """Who writes them."""

    leaderships: Leaderships
    results: Results
    jobs: Jobs


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Results, attempts that ended without one, jobs that ended; gives the tasks whose results are not new."""

    by: Recorder
    term: int
    results: Sequence[TaskResult] = ()
    ranges: Sequence[TaskRange] = ()
    ended: Sequence[EndedAttempt] = ()
    finished: Sequence[FinishedJob] = ()

    @property
    def kind(self) -> tuple[str, int]:
        """Those of one term go together."""
        return "record", self.term

    def __call__(self, connection: sa.Connection) -> Refused:
        """Write it. Raises `Superseded`."""
        (refused,) = self.together(connection, [self])
        return refused

    def together(self, connection: sa.Connection, operations: Sequence[Record]) -> list[Refused]:
        """Write them all; of several results for one task the first is the new one."""
        self.by.leaderships.check(connection, self.term)
        refused = self.by.results.record(
            connection,
            [(each.results, each.ranges) for each in operations],
            [attempt for each in operations for attempt in each.ended],
        )
        self.by.jobs.finish(connection, [job for each in operations for job in each.finished])
        return refused
