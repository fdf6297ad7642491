"""The leader's half: events in, commands out. It holds no clock, no socket and no database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import assert_never

from msgspec.structs import replace

from wasmgrid.core.job import TaskId
from wasmgrid.core.wire import (
    Assign,
    BuildWork,
    Heartbeat,
    Inventory,
    Leave,
    Progress,
    Refused,
    Results,
    Returned,
    RunWork,
)
from wasmgrid.protocol import buildlife, handover, holds, requests, timeouts, waiting, workers
from wasmgrid.protocol.chunks import Chunk
from wasmgrid.protocol.events import (
    BuildOpened,
    CancelAsked,
    Command,
    Event,
    JobArrived,
    ModulesPruned,
    Said,
    Tick,
    Unheard,
    WorkerAsked,
    WriteFailed,
    Written,
)
from wasmgrid.protocol.jobs import Job
from wasmgrid.protocol.state import Settings, State
from wasmgrid.scheduling.events import Placement
from wasmgrid.scheduling.shape import Shape, build_shape


class Leader:
    """Leads for one term. Feed it the unfinished jobs of the store first, then call `begin`.

    `known_workers` may hold tasks of the term before; `holds` are the workers that take nothing new: (cordoned or
    quarantined, why) by id.
    """

    def __init__(
        self,
        *,
        term: int,
        leader_id: str,
        known_workers: Iterable[str],
        now: float,
        holds: Mapping[str, tuple[str, str]] | None = None,
        settings: Settings | None = None,
    ) -> None:
        self._state = State(
            term=term,
            leader_id=leader_id,
            settings=settings or Settings(),
            known_workers=set(known_workers),
            holds=holds or {},
            now=now,
        )

    @property
    def state(self) -> State:
        """What it remembers, to look at."""
        return self._state

    @property
    def tick_s(self) -> float:
        """How often it wants a `Tick`."""
        return self._state.settings.heartbeat_s / 2

    def wake_s(self, now: float) -> float:
        """In how many seconds it wants the next `Tick` at the latest."""
        due = self._state.deadlines.next
        return self.tick_s if due is None else min(self.tick_s, max(0.0, due - now))

    def begin(self, now: float) -> list[Command]:
        """Say hello to every worker; they answer with their inventories."""
        self._state.now = now
        self._state.broadcast(self._state.hello())
        timeouts.come(self._state, now)
        workers.settle_takeover(self._state, now)
        return self._finish(now)

    def handle(self, event: Event, now: float) -> list[Command]:
        """Note what happened; what is to be done about it, in order."""
        self._state.now = now
        self._note(event, now)
        return self._finish(now)

    def _note(self, event: Event, now: float) -> None:
        state = self._state
        match event:  # what comes most often first
            case Said(message):
                self._hear(message, now)
            case Written(token):
                state.written(token)
            case JobArrived():
                requests.arrive(state, event, now)
            case CancelAsked(job_id):
                job = state.jobs.get(job_id)
                if job is not None:
                    requests.stop(state, job, requests.CANCELLED)
            case WorkerAsked():
                holds.asked(state, event)
            case Unheard():
                workers.unheard(state, event, now)
            case BuildOpened():
                buildlife.opened(state, event)
            case WriteFailed(token):
                state.write_failed(token)
            case ModulesPruned():
                state.builds.forget_known()
            case Tick():
                workers.expire(state, now)
                workers.settle_takeover(state, now)
                timeouts.come(state, now)
                state.retry_writes()
            case _:
                assert_never(event)

    def _hear(
        self, message: Inventory | Heartbeat | Progress | Refused | Returned | Results | Leave, now: float
    ) -> None:
        state = self._state
        match message:
            case Results():
                handover.results(state, message, now)
            case Heartbeat():
                workers.heartbeat(state, message, now)
            case Inventory():
                workers.inventory(state, message, now)
            case Progress():
                workers.progress(state, message, now)
            case Refused():
                workers.refused(state, message, now)
            case Returned():
                handover.returned(state, message, now)
            case Leave():
                workers.leave(state, message, now)
            case _:
                assert_never(message)

    def _finish(self, now: float) -> list[Command]:
        """Whatever happened, place what now fits; then hand out the commands."""
        requests.give_up(self._state)
        if len(self._state.scheduler.queue):
            for placement in self._state.scheduler.place(now):
                self._assign(placement, now)
        commands, self._state.commands = self._state.commands, []
        return commands

    def _assign(self, placement: Placement, now: float) -> None:
        """Give the worker what was placed there."""
        state, task = self._state, placement.task
        job = state.jobs.get(task.id) if task.kind == "run" else None
        if job is not None and job.spec.concurrency is not None and not waiting.may_start(state, job, placement):
            return
        lease = state.leases.get(placement.worker_id)
        if lease is None:  # the pool and the leases change together
            message = f"placed {placement} at a worker that is not there"
            raise AssertionError(message)
        work = _build_work(state, task) if job is None else _run_work(job, placement)
        state.assigned += 1
        assign = Assign(
            term=state.term,
            seq=state.assigned,
            attempt=state.attempt_ids.take(),
            incarnation=lease.info.incarnation,
            work=work,
        )
        state.chunks.add(
            Chunk(
                anchor=task,
                attempt=assign.attempt,
                worker_id=placement.worker_id,
                left=set(range(task.index, task.index + placement.count)),
                shape=build_shape(work.toolchain) if isinstance(work, BuildWork) else _shape(job, task.index),
                assigned_at=now,
                assign=assign,
                gpus=placement.gpus,
            )
        )
        state.counters.placements += placement.count
        state.send(placement.worker_id, assign)


def _shape(job: Job | None, index: int) -> Shape:
    if job is None:
        raise AssertionError
    return waiting.shape_of(job, job.history.get(index) if job.history else None)


def _run_work(job: Job, placement: Placement) -> RunWork:
    spec, limits, index = job.spec, job.limits, placement.task.index
    need = _shape(job, index).need
    if need.memory_mb != limits.memory_mb:  # after an out_of_memory it gets more
        limits = replace(limits, memory_mb=need.memory_mb)
    return RunWork(
        job_id=job.id,
        first=index,
        count=placement.count,
        tenant=job.tenant,
        module_sha256=job.module_sha256 or "",
        need=need,
        limits=limits,
        args=spec.args,
        env=spec.env,
        stdin=spec.stdin,
        inputs=spec.inputs,
        gpus=list(placement.gpus),
        array=spec.array is not None,
        lines=spec.lines,
        function=spec.function,
        isolate=spec.isolate,
        slice_s=waiting.slice_s(job),
    )


def _build_work(state: State, task: TaskId) -> BuildWork:
    build = state.builds.by_id(task.id)
    if build is None:
        message = f"build {task.id} is queued but unknown"
        raise AssertionError(message)
    return BuildWork(
        build_id=task.id,
        build_key=build.key,
        source=replace(build.source, paths=[]),  # the builder reads them out of the blob; here they could fill a frame
        toolchain=build.toolchain,
        need=build_shape(build.toolchain).need,
        install=build.install,
    )
