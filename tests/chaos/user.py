"""One person at a grid of several servers: asks any server that answers, until one does."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from itertools import cycle
from typing import Any, TypeVar

import msgspec
from tests.chaos.evidence import starts_of
from tests.chaos.grid import ChaosGrid
from tests.chaos.parts import wait
from tests.chaos.programs import small_wat
from tests.chaos.records import Json, Start
from tests.e2e.guests import sleeper

from wasmgrid.core.errors import WasmgridError
from wasmgrid.core.job import JobSpec
from wasmgrid.sdk import calls
from wasmgrid.sdk.calls import Call

T = TypeVar("T")

PATIENCE_S = 60.0
ANSWER_S = 3.0  # a server that is paused or cut off does not answer: ask another one
TRY_ELSEWHERE = {"unreachable", "unavailable", "timed_out_waiting", "superseded"}


class User:
    """Submits WAT and looks at what becomes of it."""

    def __init__(self, grid: ChaosGrid) -> None:
        self._grid = grid
        self._servers = cycle(grid.servers)

    def submit(self, program: str, **fields: Any) -> int:
        """The id of a new job."""
        call = calls.submit(msgspec.convert({**small_wat(program), **fields}, JobSpec))
        return self.ask(lambda: call).id

    def look(self, job_id: int) -> Json:
        """The job's JSON now."""
        job: Json = json.loads(self.ask(lambda: calls.raw(calls.job(job_id))))
        return job

    def wait(self, job_id: int, *states: str, within_s: float = PATIENCE_S) -> Json:
        """The job as soon as it is in one of `states`."""
        ends_at = time.monotonic() + within_s
        while (job := self.look(job_id))["state"] not in states:
            told = f"job {job_id} is still {job['state']} ({job['state_reason']})"
            assert time.monotonic() < ends_at, f"{told}\n{self._grid.logs()}"
            time.sleep(0.02)
        return job

    def hold(self, seconds: float, text: str, **fields: Any) -> tuple[int, str]:
        """A job that runs, and the worker that has it."""
        job_id = self.submit(sleeper(seconds, text), **fields)
        self.wait(job_id, "running")
        wait(lambda: self.starts(job_id), "it started somewhere", PATIENCE_S)
        [start] = self.starts(job_id)
        return job_id, start.worker

    def leader(self) -> str:
        """The server that leads, once one does."""
        found: list[str] = []
        wait(lambda: found.append(self._grid.leader()) or found[-1], "somebody leads", PATIENCE_S)  # type: ignore[func-returns-value]
        return found[-1]

    def starts(self, job_id: int) -> list[Start]:
        """Every start of its task, anywhere, oldest first."""
        workers = self._grid.workers
        everything = [start for worker in workers for start in starts_of(self._grid, worker)]
        return sorted(start for start in everything if (start.kind, start.id) == ("run", job_id))

    def ask(self, call: Callable[[], Call[T]]) -> T:
        """What a server answers, the first that does."""
        ends_at = time.monotonic() + PATIENCE_S
        while True:
            try:
                with self._grid.client(next(self._servers), timeout_s=ANSWER_S) as client:
                    return client.send(call())
            except WasmgridError as error:
                if error.code not in TRY_ELSEWHERE or time.monotonic() > ends_at:
                    raise
            time.sleep(0.05)
