"""One agent's session: how it reaches the grid, the most that it may ask for, and which jobs are its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio.to_thread

from wasmgrid.core.errors import InvalidField, JobNotFound, Unavailable
from wasmgrid.sdk import calls
from wasmgrid.sdk.async_client import AsyncClient

DISK_MB = 256
OUTPUT_BYTES = 4 << 20
QUEUE_TIMEOUT_S = 900.0


@dataclass(frozen=True)
class Bounds:
    """The most that an agent may ask for; it cannot raise it.

    `unfinished` is how many of its jobs may be queued or run at once, `all_jobs` whether it may see those of others.
    """

    time_limit_s: float = 300.0
    memory_mb: int = 2048
    unfinished: int = 16
    all_jobs: bool = False

    def check(self, time_limit_s: float, memory_mb: int) -> None:
        """Raise `InvalidField` for what is over a bound."""
        if time_limit_s > self.time_limit_s:
            hint = "wasmgrid mcp --most-time allows more"
            raise InvalidField(f"at most {self.time_limit_s:g} seconds are allowed", hint=hint, field="time_limit_s")
        if memory_mb > self.memory_mb:
            hint = "wasmgrid mcp --most-memory-mb allows more"
            raise InvalidField(f"at most {self.memory_mb} MB are allowed", hint=hint, field="memory_mb")


@dataclass
class Session:
    """`connect` gives a client of a grid that runs, having started one where there is none; it may block."""

    connect: Callable[[], AsyncClient]
    bounds: Bounds = field(default_factory=Bounds)
    jobs: list[int] = field(default_factory=list)
    unfinished: set[int] = field(default_factory=set)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[AsyncClient]:
        """A client for one request: a grid that ended in between is found or started again."""
        async with await anyio.to_thread.run_sync(self.connect) as client:
            yield client

    async def check_room(self, client: AsyncClient) -> None:
        """Raise `Unavailable` where as many jobs of this session as it may have are not finished yet."""
        if len(self.unfinished) < self.bounds.unfinished:
            return
        for job_id in sorted(self.unfinished):
            if (await client.send(calls.job(job_id))).done:
                self.unfinished.discard(job_id)
        if len(self.unfinished) >= self.bounds.unfinished:
            named = ", ".join(map(str, sorted(self.unfinished)[:5]))
            raise Unavailable(
                f"{len(self.unfinished)} jobs of this session are not finished, and it may have no more",
                hint=f"wait for one (get_job with a wait_s) or cancel one (cancel_job): {named}, ...",
            )

    def submitted(self, job_id: int) -> None:
        """Remember a job as this session's."""
        self.jobs.append(job_id)
        self.unfinished.add(job_id)

    def check_own(self, job_id: int) -> None:
        """Raise `JobNotFound` for a job that this session did not submit, unless it may see all."""
        if not self.bounds.all_jobs and job_id not in self.jobs:
            known = ", ".join(map(str, self.jobs[-5:])) or "none yet"
            raise JobNotFound(
                f"job {job_id} is none of this session's",
                hint=f"they are: {known}; wasmgrid mcp --all-jobs shows every job",
            )
