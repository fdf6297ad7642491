"""Performs what the leader decided: messages through one sender, writes in order, and says how they went."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from itertools import groupby
from typing import Any

import structlog

from wasmgrid.control.arrival import ended_row, finished_row
from wasmgrid.control.journal import Journal
from wasmgrid.control.meter import Meter
from wasmgrid.control.watchers import End
from wasmgrid.core import wire
from wasmgrid.core.errors import Superseded, WasmgridError
from wasmgrid.core.job import TaskResult
from wasmgrid.fabric import subjects
from wasmgrid.fabric.connection import Fabric
from wasmgrid.protocol import events
from wasmgrid.store import Store, rows

RETRY_S = 1.0
HOLD_S = 0.02  # results of arrays wait so long for others, so that a commit is not paid for each
ACK_S = 0.005  # acknowledgements wait so long for others; nobody waits for them

log = structlog.get_logger()


class Performer:
    """The leader's hands, for one term. `tell` takes the events that come of it; `end` is called when the term ends."""

    def __init__(
        self,
        *,
        store: Store,
        fabric: Fabric,
        term: int,
        tell: Callable[[events.Event], None],
        end: Callable[[], None],
        committed: Callable[[End], None],
        meter: Meter,
    ) -> None:
        self._store = store
        self._fabric = fabric
        self._term = term
        self._tell = tell
        self._end = end
        self._committed = committed
        self._meter = meter
        self._journal = Journal()
        self._writes: list[events.Write] = []
        self._writing: asyncio.TimerHandle | None = None
        self._acks: dict[tuple[str, int], list[wire.ResultsAck]] = {}
        self._outbox: deque[events.ToWorker | events.ToAll] = deque()
        self._outbox_filled = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin to send."""
        self.spawn(self._send_loop())

    async def stop(self) -> None:
        """Send and write no more; what waits was not acknowledged, and is told to the next leader."""
        if self._writing is not None:
            self._writing.cancel()
        for task in list(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def perform(self, command: events.ToWorker | events.ToAll | events.Write | events.OpenBuild) -> None:
        """Do it, in the order in which it was asked for."""
        match command:
            case events.ToWorker(worker_id=worker_id, message=wire.ResultsAck() as ack):
                if not self._acks:
                    asyncio.get_running_loop().call_later(ACK_S, self._send_acks)
                self._acks.setdefault((worker_id, ack.term), []).append(ack)
            case events.ToWorker() | events.ToAll():
                self._outbox.append(command)
                self._outbox_filled.set()
            case events.Write():
                self._writes.append(command)
                if not _may_wait(command.body):
                    self._begin_writes_in(0.0)
                elif self._writing is None:
                    self._begin_writes_in(HOLD_S)
            case events.OpenBuild():
                self.spawn(self._open_build(command))

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run it until `stop`; a failure ends the term, for a leader that lost a part of itself must not go on."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        failure = None if task.cancelled() else task.exception()
        if failure is not None:
            log.error("the leader's loop failed", exc_info=failure)
            self._end()

    async def _send_loop(self) -> None:
        """One sender, so that messages to a worker keep their order. What cannot be sent is settled by heartbeats."""
        while True:
            await self._outbox_filled.wait()
            self._outbox_filled.clear()
            while self._outbox:
                command = self._outbox.popleft()
                try:
                    await self._send(command)
                except WasmgridError as error:
                    log.warning("not sent", error=str(error), message=type(command.message).__name__)

    async def _send(self, command: events.ToWorker | events.ToAll) -> None:
        message = command.message
        if isinstance(command, events.ToAll):
            await self._fabric.publish(subjects.hello(), message)
            return
        subject = subjects.worker(command.worker_id)
        if isinstance(message, wire.Assign):
            unheard = events.Unheard(command.worker_id, message.attempt)
            await self._fabric.post(subject, message, unheard=partial(self._tell, unheard))
        else:
            await self._fabric.publish(subject, message)

    def _send_acks(self) -> None:
        """What a worker may forget, in one message: it costs either side as much as a result does."""
        waiting, self._acks = self._acks, {}
        for (worker_id, term), acks in waiting.items():
            joined = wire.ResultsAck(
                attempts=[attempt for ack in acks for attempt in ack.attempts],
                term=term,
                parts=[part for ack in acks for part in ack.parts],
            )
            self._outbox.append(events.ToWorker(worker_id, joined))
        self._outbox_filled.set()

    def _begin_writes_in(self, seconds: float) -> None:
        """Begin what is decided until then, not later than was said before."""
        if self._writing is not None:
            self._writing.cancel()
        self._writing = asyncio.get_running_loop().call_later(seconds, self._begin_writes)

    def _begin_writes(self) -> None:
        """Begin what waits, in order, records that follow each other as one."""
        self._writing = None
        writes, self._writes = self._writes, []
        for joint, some in groupby(writes, key=lambda write: isinstance(write.body, events.Record)):
            if joint:
                self.spawn(self._write(list(some)))
            else:
                for write in some:
                    self.spawn(self._write([write]))

    async def _write(self, writes: list[events.Write]) -> None:
        """Commit, then tell the leader. Tasks start in order, and the store's writer keeps it."""
        body = writes[0].body if len(writes) == 1 else _joined(writes)
        try:
            await self._commit(body)
            self._journal.committed(body)
        except Superseded:
            self._end()
        except WasmgridError as error:
            log.warning("not written, will be tried again", error=str(error), what=type(body).__name__)
            for write in writes:
                self._tell(events.WriteFailed(write.token))
        else:
            for write in writes:
                self._tell(events.Written(write.token))

    async def _record(self, record: events.Record) -> None:
        finished = [finished_row(job) for job in record.finished]
        refused = await self._store.record(
            self._term,
            results=record.results,
            ranges=record.ranges,
            ended=[ended_row(ended) for ended in record.ended],
            finished=finished,
        )
        self._meter.record(record.results, record.ranges, refused)
        if finished:
            self._meter.ended(job.state for job in finished)
            self._meter.built(sum(job.build_cached is False for job in finished), cached=False)
            self._meter.built(sum(job.build_cached is True for job in finished), cached=True)
            new = [result for result in record.results if result.index not in refused.get(result.job_id, ())]
            self._tell_ends(finished, new)

    def _tell_ends(self, finished: list[rows.FinishedJob], fresh: list[TaskResult]) -> None:
        """Of jobs that ended with one result, both are at hand: whoever waits need not read them again."""
        of_job: dict[int, list[TaskResult]] = {}
        for result in fresh:
            of_job.setdefault(result.job_id, []).append(result)
        for job in finished:
            given = of_job.get(job.job_id, [])
            if len(given) == 1:
                self._committed(End(job, given[0]))

    async def _commit(self, body: events.Body) -> None:
        store, term = self._store, self._term
        match body:
            case events.Record():
                await self._record(body)
            case events.FinishBuild(result=result):
                await store.finish_build(term, result)
            case events.AssignModule():
                await store.assign_module(
                    term,
                    body.job_ids,
                    module_sha256=body.module_sha256,
                    build_id=body.build_id,
                    cached=body.cached,
                )
                self._meter.built(len(body.job_ids), cached=body.cached)
            case events.SaveWorker(info=info, state=state, hold=hold, note=note):
                await store.save_worker(term, info, state, hold=hold, note=note)

    async def _open_build(self, command: events.OpenBuild) -> None:
        new = rows.NewBuild(build_key=command.build_key, source=command.source, toolchain=command.toolchain)
        while True:
            try:
                row = await self._store.open_build(self._term, new)
                break
            except Superseded:
                self._end()
                return
            except WasmgridError as error:
                log.warning("no row for a build, will be tried again", key=command.build_key, error=str(error))
                await asyncio.sleep(RETRY_S)
        self._tell(
            events.BuildOpened(
                build_id=row.id,
                build_key=row.build_key,
                state=row.state,
                module_sha256=row.module_sha256,
                message=row.message,
            )
        )


def _may_wait(body: events.Body) -> bool:
    """Whether it is nothing but results of jobs that go on: nobody waits for one of many tasks by itself."""
    return isinstance(body, events.Record) and not body.finished and not body.ended


def _joined(writes: list[events.Write]) -> events.Record:
    """Records as one."""
    records = [write.body for write in writes if isinstance(write.body, events.Record)]
    return events.Record(
        results=[result for record in records for result in record.results],
        ranges=[each for record in records for each in record.ranges],
        ended=[ended for record in records for ended in record.ended],
        finished=[job for record in records for job in record.finished],
    )
