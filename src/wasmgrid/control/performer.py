"""Performs what the leader decided: messages through one sender, writes in order, and says how they went."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from functools import partial
from typing import Any

import structlog

from wasmgrid.core import wire
from wasmgrid.core.errors import Superseded, WasmgridError
from wasmgrid.fabric import subjects
from wasmgrid.fabric.connection import Fabric
from wasmgrid.protocol import events
from wasmgrid.store import Store, rows

RETRY_S = 1.0

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
    ) -> None:
        self._store = store
        self._fabric = fabric
        self._term = term
        self._tell = tell
        self._end = end
        self._outbox: deque[events.ToWorker | events.ToAll] = deque()
        self._outbox_filled = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin to send."""
        self.spawn(self._send_loop())

    async def stop(self) -> None:
        """Send and write no more."""
        for task in list(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def perform(self, command: events.ToWorker | events.ToAll | events.Write | events.OpenBuild) -> None:
        """Do it, in the order in which it was asked for."""
        match command:
            case events.ToWorker() | events.ToAll():
                self._outbox.append(command)
                self._outbox_filled.set()
            case events.Write():
                self.spawn(self._write(command))
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

    async def _write(self, write: events.Write) -> None:
        """Commit, then tell the leader. Tasks start in order, and the store's writer keeps it."""
        try:
            await self._commit(write.body)
        except Superseded:
            self._end()
        except WasmgridError as error:
            log.warning("not written, will be tried again", error=str(error), what=type(write.body).__name__)
            self._tell(events.WriteFailed(write.token))
        else:
            self._tell(events.Written(write.token))

    def _commit(self, body: events.Body) -> Awaitable[object]:
        store, term = self._store, self._term
        match body:
            case events.Record():
                return store.record(
                    term,
                    results=body.results,
                    ended=[_ended_row(ended) for ended in body.ended],
                    finished=[_finished_row(finished) for finished in body.finished],
                )
            case events.FinishBuild(result=result):
                return store.finish_build(term, result)
            case events.AssignModule():
                return store.assign_module(
                    term,
                    body.job_ids,
                    module_sha256=body.module_sha256,
                    build_id=body.build_id,
                    cached=body.cached,
                )
            case events.SaveWorker(info=info, state=state, hold=hold, note=note):
                return store.save_worker(term, info, state, hold=hold, note=note)

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
                log.warning("no row for a build, will be tried again", error=str(error))
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


def _ended_row(ended: events.EndedAttempt) -> rows.EndedAttempt:
    return rows.EndedAttempt(
        kind=ended.task.kind,
        id=ended.task.id,
        index=ended.task.index,
        attempt=ended.attempt,
        worker_id=ended.worker_id,
        reason=ended.reason,
        ended_at=datetime.now(UTC),
        counts_as_crash=ended.crashed,
        counts_as_retry=ended.retried,
    )


def _finished_row(finished: events.FinishedJob) -> rows.FinishedJob:
    return rows.FinishedJob(
        job_id=finished.job_id,
        state=finished.state,
        started_at=finished.started_at,
        finished_at=datetime.now(UTC),
        message=finished.message,
        build_id=finished.build_id,
        build_cached=finished.build_cached,
    )
