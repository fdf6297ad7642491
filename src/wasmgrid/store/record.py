"""What a leader says of tasks and jobs, as one write: of words that wait together, one for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from wasmgrid.core.job import TaskResult
from wasmgrid.store.jobs import Jobs
from wasmgrid.store.leadership import check_term
from wasmgrid.store.results import Results
from wasmgrid.store.rows import EndedAttempt, FinishedJob

Fresh = set[tuple[int, int]]


@dataclass(frozen=True)
class Recorder:
    """Makes such writes."""

    results: Results
    jobs: Jobs

    def of(
        self, term: int, results: Sequence[TaskResult], ended: Sequence[EndedAttempt], finished: Sequence[FinishedJob]
    ) -> Record:
        """One of them."""
        return Record(self, term, results, ended, finished)


@dataclass(frozen=True)
class Record:
    """Results, attempts that ended without one, jobs that ended; gives the (job, index) of results that were new."""

    recorder: Recorder
    term: int
    results: Sequence[TaskResult]
    ended: Sequence[EndedAttempt]
    finished: Sequence[FinishedJob]

    @property
    def kind(self) -> tuple[str, int]:
        """Those of one term go together."""
        return "record", self.term

    def __call__(self, connection: sa.Connection) -> Fresh:
        """Write it. Raises `Superseded`."""
        (fresh,) = self.together(connection, [self])
        return fresh

    def together(self, connection: sa.Connection, operations: Sequence[Record]) -> list[Fresh]:
        """Write them all; of several results for one task the first is the new one."""
        check_term(connection, self.term)
        fresh = self.recorder.results.record(
            connection,
            [result for each in operations for result in each.results],
            [attempt for each in operations for attempt in each.ended],
        )
        self.recorder.jobs.finish(connection, [job for each in operations for job in each.finished])
        told = []
        for each in operations:
            told.append({(result.job_id, result.index) for result in each.results} & fresh)
            fresh -= told[-1]
        return told
