"""What the API uses of the grid: the same on every server, whether it leads or asks the one that does."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Callable, Collection
from typing import TypeVar

import structlog
from msgspec.structs import replace

from wasmgrid.control import questions
from wasmgrid.control.following import Following
from wasmgrid.control.leading import Leading
from wasmgrid.control.membership import Membership
from wasmgrid.control.meter import Meter
from wasmgrid.control.questions import Question, WhoLeads
from wasmgrid.control.watchers import End, Watchers, first_over
from wasmgrid.core import wire
from wasmgrid.core.errors import TimedOutWaiting, Unavailable, Unreachable, WasmgridError
from wasmgrid.core.job import StoredSpec
from wasmgrid.core.overview import HeldView, LeaderOverview
from wasmgrid.core.ranges import Run
from wasmgrid.core.worker import Toolchain, WorkerView
from wasmgrid.fabric import subjects
from wasmgrid.fabric.connection import Fabric
from wasmgrid.protocol.events import LiveJob, LiveTask
from wasmgrid.protocol.state import Settings
from wasmgrid.scheduling.explain import Why
from wasmgrid.store import Store, rows

PATIENCE_S = 8.0  # a take-over is over by then
LITTLE_PATIENCE_S = 1.0  # for what is good to know, and no more
ANSWER_S = 1.0
RETRY_S = 0.1
POLL_S = 1.0  # how often the store is asked whether what somebody waits for has ended
POLL_JOBS = 5000
TAIL_MARGIN_S = 5.0

A = TypeVar("A")

log = structlog.get_logger()


class Control:
    """One server's part of the grid. Everything here runs on one event loop.

    While nobody leads (a take-over is under way) questions wait for some seconds before they raise `Unavailable`.
    `alone`: the store is this server's own, no other can be.
    """

    def __init__(
        self, *, store: Store, fabric: Fabric, server_id: str, settings: Settings | None = None, alone: bool = True
    ) -> None:
        self.server_id = server_id
        self._store = store
        self._fabric = fabric
        self._settings = settings or Settings()
        self.meter = Meter()
        self._watchers = Watchers()
        self._following = Following(fabric, self._watchers)
        self._membership = Membership(
            store=store,
            fabric=fabric,
            server_id=server_id,
            following=self._following,
            alone=alone,
            make=self._make_leading,
        )
        self._poll: asyncio.Task[None] | None = None

    # ---- life

    async def start(self) -> None:
        """Join the grid's servers; where this one is alone it leads when this returns."""
        await self._membership.start()
        self._poll = asyncio.create_task(self._poll_loop(), name="poll of what is waited for")

    async def stop(self) -> None:
        """Take no part any more; what is unfinished stays in the store for the next leader."""
        self.release()
        await self._membership.stop()
        if self._poll is not None:
            self._poll.cancel()
            await asyncio.gather(self._poll, return_exceptions=True)

    def release(self) -> None:
        """End every `watch` and `wait_finished` now: this server stops, and whoever waits asks the next one."""
        self._watchers.release()

    @property
    def leading(self) -> Leading | None:
        """The leader's loop, where this server leads."""
        return self._membership.leading

    @property
    def unfinished(self) -> int:
        """How many jobs are not finished, as far as this server is in charge of them."""
        return len(self.leading.state.jobs) if self.leading is not None else 0

    async def reconnected(self) -> None:
        """The fabric came back: what was said meanwhile is lost."""
        if self.leading is not None:
            self.leading.reconnected()
        self._watchers.wake_all()

    # ---- what the API says

    async def submitted(self, job: rows.OpenJob) -> None:
        """A job is committed."""
        if self.leading is not None:
            self.leading.submitted(job)
        else:
            await self._following.hint(wire.Submitted(ids=[job.id]))

    async def cancel_requested(self, job_id: int) -> None:
        """A wish to cancel is committed."""
        if self.leading is not None:
            self.leading.cancel_requested(job_id)
        else:
            await self._following.hint(wire.CancelAsked(job_id=job_id))

    async def modules_pruned(self) -> None:
        """Builds and modules may have gone from the store."""
        await self._ask(questions.ModulesPruned())

    async def worker_action(self, worker_id: str, action: str) -> WorkerView:
        """Drain, cordon or uncordon a worker; it as it is then. Raises `NotFound` where it is not there."""
        return await self._ask(questions.Act(worker_id, action))

    # ---- what the API asks

    async def leader(self, *, patience_s: float = LITTLE_PATIENCE_S) -> WhoLeads:
        """Who leads, in its own words; raises `Unavailable` where nobody does."""
        return await self._ask(questions.Leads(), patience_s)

    async def live(self, job_id: int) -> LiveJob | None:
        """What is known of an unfinished job beyond the store; None where its end is committed, or not heard of yet."""
        return (await self._ask(questions.Lives([job_id]))).get(job_id)

    async def lives(self, job_ids: Collection[int]) -> dict[int, LiveJob]:
        """The same of several."""
        return await self._ask(questions.Lives(list(job_ids))) if job_ids else {}

    def at_hand(self, job_id: int) -> LiveJob | None:
        """The same as `live`, but nobody else is asked."""
        return self.leading.live(job_id) if self.leading is not None else None

    async def why(self, job_id: int) -> Why | None:
        """Why a job does not run; None where it is finished or unknown."""
        return await self._ask(questions.WhyNot(job_id))

    async def workers(self) -> list[WorkerView]:
        """Every worker that is there."""
        return await self._ask(questions.Workers())

    async def toolchains(self) -> list[Toolchain]:
        """The toolchains of the workers that are there, a ready one before the same to be installed."""
        return await self._ask(questions.Toolchains())

    async def done(self, job_id: int) -> list[Run]:
        """The tasks of an unfinished job that have their results, as runs of indexes."""
        return await self._ask(questions.Done(job_id))

    async def held(self, job_id: int, index: int | None) -> list[HeldView]:
        """The attempts at a job's tasks, or at one of them, that workers hold now; of many the oldest."""
        return await self._ask(questions.Attempts(job_id, index))

    async def running(self, worker_id: str | None = None) -> list[int]:
        """The jobs that run, at one worker or at any."""
        return await self._ask(questions.Running(worker_id))

    async def overview(self, points: int) -> LeaderOverview:
        """The whole grid at one glance, with so many of the newest points of its series."""
        return await self._ask(questions.Overview(points), LITTLE_PATIENCE_S)

    async def submission_warnings(self, spec: StoredSpec, *, patience_s: float = LITTLE_PATIENCE_S) -> list[str]:
        """What a person should know at once: that nobody here could ever run this."""
        if self.leading is None:  # what no worker is chosen by need not travel
            spec = replace(spec, source=None, stdin=None, args=[], env={}, inputs=[])
        return await self._ask(questions.Warnings(spec), patience_s)

    async def wait_finished(self, job_id: int, timeout_s: float) -> End | None:
        """Return when the job's end is committed, or after `timeout_s`: with that end, where it is at hand here."""
        with self._watchers.listening(job_id) as watcher:
            if not watcher.ended and not self._leads(job_id):
                await self._ask_store([job_id])
            if not self._watchers.released:
                await watcher.over(timeout_s)
            return watcher.end

    async def wait_all(self, job_ids: Collection[int], timeout_s: float) -> None:
        """Return when the ends of all of these jobs are committed, or after `timeout_s`."""
        ends_at = time.monotonic() + timeout_s
        with contextlib.ExitStack() as stack:
            watchers = {job_id: stack.enter_context(self._watchers.listening(job_id)) for job_id in job_ids}
            elsewhere = [job_id for job_id, one in watchers.items() if not one.ended and not self._leads(job_id)]
            for at in range(0, len(elsewhere), POLL_JOBS):
                await self._ask_store(elsewhere[at : at + POLL_JOBS])
            for watcher in watchers.values():
                left_s = ends_at - time.monotonic()
                if self._watchers.released or left_s <= 0:
                    return
                await watcher.over(left_s)

    async def wait_any(self, job_ids: Collection[int], timeout_s: float) -> list[int]:
        """Those of these jobs that have ended (or are gone), once one has, or after `timeout_s`."""
        with contextlib.ExitStack() as stack:
            watchers = {job_id: stack.enter_context(self._watchers.listening(job_id)) for job_id in job_ids}
            elsewhere = [job_id for job_id, one in watchers.items() if not one.ended and not self._leads(job_id)]
            for at in range(0, len(elsewhere), POLL_JOBS):
                await self._ask_store(elsewhere[at : at + POLL_JOBS])
            if watchers and timeout_s > 0 and not self._watchers.released:
                await first_over(watchers.values(), timeout_s)
            return [job_id for job_id, one in watchers.items() if one.ended]

    async def watch(self, job_id: int) -> AsyncIterator[None]:
        """One tick per change of the job, several at once being one; ends when its end is committed.

        It goes on over take-overs, and where the store is away for a while.
        """
        with self._watchers.listening(job_id) as watcher:
            if not watcher.ended and not self._leads(job_id):
                await self._ask_store([job_id])
            while not (watcher.ended or self._watchers.released):
                await watcher.changed.wait()
                watcher.changed.clear()
                yield

    async def tail(
        self, task: LiveTask, *, stdout_offset: int, stderr_offset: int, wait_s: float
    ) -> wire.TailChunk | None:
        """Live output from these offsets, waiting up to `wait_s` for some; None where that attempt runs no more."""
        request = wire.TailRequest(
            attempt=task.attempt,
            index=task.index,
            stdout_offset=stdout_offset,
            stderr_offset=stderr_offset,
            wait_s=wait_s,
        )
        subject = subjects.worker(task.worker_id)
        try:
            answer = await self._fabric.request(subject, request, timeout_s=wait_s + TAIL_MARGIN_S)
        except (Unreachable, TimedOutWaiting):
            return None
        return answer if isinstance(answer, wire.TailChunk) and answer.known else None

    # ---- inside

    def _make_leading(self, term: int, renewed_at: float, over: Callable[[], None]) -> Leading:
        return Leading(
            store=self._store,
            fabric=self._fabric,
            server_id=self.server_id,
            term=term,
            settings=self._settings,
            watchers=self._watchers,
            meter=self.meter,
            over=over,
            renewed_at=renewed_at,
            announce=renewed_at < math.inf,
        )

    def _leads(self, job_id: int) -> bool:
        """Whether this server hears of the job's end before anybody else does."""
        return self.leading is not None and self.leading.has(job_id)

    async def _ask(self, question: Question[A], patience_s: float = PATIENCE_S) -> A:
        """Our own answer where we lead, else that of whoever does."""
        ends_at = time.monotonic() + patience_s
        while True:
            leading = self.leading
            if leading is not None and leading.sure:
                return question.of(leading)
            try:
                return await self._following.ask(question, timeout_s=ANSWER_S)
            except (Unreachable, TimedOutWaiting) as error:
                if self._watchers.released or time.monotonic() + RETRY_S > ends_at:
                    raise Unavailable(
                        "no server leads this grid at the moment", hint="another takes over within seconds; try again"
                    ) from error
            await asyncio.sleep(RETRY_S)

    async def _poll_loop(self) -> None:
        """Hints may be lost; the store is not."""
        while True:
            await asyncio.sleep(POLL_S)
            waiting = [job_id for job_id in self._watchers.waiting() if not self._leads(job_id)]
            for at in range(0, len(waiting), POLL_JOBS):
                await self._ask_store(waiting[at : at + POLL_JOBS])

    async def _ask_store(self, job_ids: list[int]) -> None:
        """Note which of these jobs have ended."""
        try:
            for job_id in await self._store.ended(job_ids):
                self._watchers.ended(job_id)
        except WasmgridError as error:  # it is asked again in a moment
            log.warning("cannot ask the store what has ended", error=str(error), jobs=len(job_ids))
