"""Jobs whose ends are waited for, many of them by one question. Pure: `watcher` asks, or an async task does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from wasmgrid.core.errors import JobNotFound, WasmgridError
from wasmgrid.sdk import arrays, calls
from wasmgrid.sdk.calls import Call
from wasmgrid.sdk.taskviews import EndedJobs
from wasmgrid.sdk.views import Job

H = TypeVar("H")

GATHER_S = 0.02  # newcomers interrupt the question that is out, but not more often than this
EARLY_S = 1.0  # an answer without news that comes within it is no reason to ask again at once


class Awaited(Generic[H]):
    """Handles by the job that each waits for."""

    def __init__(self) -> None:
        self._of: dict[int, list[H]] = {}

    def __bool__(self) -> bool:
        return bool(self._of)

    def add(self, job_id: int, handle: H) -> None:
        """One more waits for this job."""
        self._of.setdefault(job_id, []).append(handle)

    def question(self) -> Call[EndedJobs]:
        """Which of them have ended; of very many the oldest are asked for."""
        return arrays.wait_any(list(self._of)[: arrays.MOST_AWAITED], wait_s=calls.WAIT_S)

    def heard(self, answer: EndedJobs) -> Iterator[tuple[H, Job | WasmgridError]]:
        """Who waits no longer, with the finished job or why there is none."""
        for job in answer.jobs:
            if job.done:
                yield from ((handle, job) for handle in self._of.pop(job.id, ()))
        for job_id in answer.missing:
            gone = JobNotFound(f"job {job_id} is no more: it was deleted")
            yield from ((handle, gone) for handle in self._of.pop(job_id, ()))

    def give_up(self) -> list[H]:
        """Everybody who waits; nobody does from here on."""
        handles = [handle for some in self._of.values() for handle in some]
        self._of.clear()
        return handles
