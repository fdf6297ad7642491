"""One attempt at the tasks of a chunk on this worker: fetched, precompiled, run one after the other, handed over."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path

from wasmgrid.core.errors import (
    DigestMismatch,
    InputNotFound,
    InvalidField,
    InvalidModule,
    ModuleNotFound,
    NotFound,
    TooLarge,
)
from wasmgrid.core.job import Input
from wasmgrid.core.limits import Ceiling
from wasmgrid.core.outcome import Outcome, OutcomeKind
from wasmgrid.core.wire import RunWork
from wasmgrid.core.worker import Gpu
from wasmgrid.worker.attempt import Attempt
from wasmgrid.worker.blobs import BlobCache
from wasmgrid.worker.chunk import ChunkRun
from wasmgrid.worker.courier import Courier
from wasmgrid.worker.gpus import environment
from wasmgrid.worker.lines import LineFile, LineFiles
from wasmgrid.worker.modules import ModuleCache
from wasmgrid.worker.results import CANCELLED, Cost, Results
from wasmgrid.worker.runners import Runners
from wasmgrid.worker.task import PreparedModule, RunnerChunk, Tasks

NEVER = (NotFound, InputNotFound, TooLarge, DigestMismatch, InvalidField, InvalidModule)


class TaskRunning:
    """Runs the tasks that a worker was given."""

    def __init__(
        self,
        *,
        worker_id: str,
        modules: ModuleCache,
        runners: Runners,
        blobs: BlobCache,
        courier: Courier,
        gpus: Sequence[Gpu] = (),
    ) -> None:
        self._gpus = gpus
        self._modules = modules
        self._runners = runners
        self._blobs = blobs
        self._courier = courier
        self._ceiling = Ceiling()
        self._lines = LineFiles(blobs, max_bytes=self._ceiling.input_bytes)
        self._results = Results(worker_id, courier)

    async def run(self, one: Attempt, work: RunWork) -> None:
        """Bring every task of this attempt to its end, or give it back; `one` is told as it goes.

        Cancelling this kills the runner. A guest's failure is part of a result.
        """
        try:
            await self._run(one, work)
            if one.left:  # halted, or stopped before it began
                self.give_up(one, work)
        except ModuleNotFound as error:
            self.refuse(one, work, Outcome(kind=OutcomeKind.REJECTED, message=error.message), missing=True)
        except NEVER as error:
            self.refuse(one, work, Outcome(kind=OutcomeKind.REJECTED, message=error.message))

    def stop(self, one: Attempt) -> bool:
        """End the guest of this attempt; its result says cancelled and keeps its output. False where none runs."""
        if one.runs:
            one.halted = True
            self._runners.stop(one.id, CANCELLED)
        return one.runs

    def running(self, one: Attempt) -> int | None:
        """The task of it that runs now."""
        current = self._runners.current(one.id) if one.runs else None
        return None if current is None else current.index

    def refuse(self, one: Attempt, work: RunWork, outcome: Outcome, *, missing: bool = False) -> None:
        """All of its tasks that have not ended end so, without a run. `missing`: their module's blob is."""
        one.end([self._results.refused(one.id, work, index, outcome, missing=missing) for index in one.left])

    def give_up(self, one: Attempt, work: RunWork) -> None:
        """It was cancelled before a guest of it ran: a single task has that as its result, several go back."""
        if one.several:
            one.give_back(one.left.runs())
        else:
            self.refuse(one, work, CANCELLED)

    def fail(self, one: Attempt, work: RunWork, outcome: Outcome) -> None:
        """The next of its tasks ends so; those behind it are given back."""
        rest = one.left.runs()
        if rest:
            first, count = rest[0]
            one.end([self._results.refused(one.id, work, first, outcome)])
            one.give_back([(first + 1, count - 1), *rest[1:]])

    # ---- getting ready

    async def _run(self, one: Attempt, work: RunWork) -> None:
        """Most find everything here, and take no turn of the event loop before they run."""
        lines = None if work.lines is None else self._lines.known(work.lines.sha256)
        if work.inputs or (work.stdin and work.stdin.sha256) or (work.lines and lines is None):
            await self._fetch_and_run(one, work)
            return
        module = self._modules.pin(work.module_sha256, metered=work.limits.fuel is not None)
        if module is None:
            await self._fetch_and_run(one, work)
            return
        try:
            chunk = self._chunk(one, work, module)
            await self._chunk_run(one, work, chunk, Cost(module, 0.0), lines).run()
        finally:
            self._modules.release(module)

    async def _fetch_and_run(self, one: Attempt, work: RunWork) -> None:
        one.advance("fetching")
        started = time.perf_counter()
        async with contextlib.AsyncExitStack() as held:
            inputs = [(given, await self._input(held, given)) for given in work.inputs]
            stdin = await self._stdin(held, work)
            lines = None if work.lines is None else await self._lines.get(work.lines.sha256)
            fetch_ms = (time.perf_counter() - started) * 1000 if inputs or lines else 0.0
            module = await self._module(held, one, work)
            if isinstance(module, Outcome):
                self.refuse(one, work, module)
                return
            chunk = self._chunk(one, work, module, inputs, stdin)
            await self._chunk_run(one, work, chunk, Cost(module, fetch_ms), lines).run()

    def _chunk_run(
        self, one: Attempt, work: RunWork, chunk: RunnerChunk, cost: Cost, lines: LineFile | None
    ) -> ChunkRun:
        return ChunkRun(self._runners, self._results, one, work, chunk=chunk, cost=cost, lines=lines)

    def _chunk(
        self,
        one: Attempt,
        work: RunWork,
        module: PreparedModule,
        inputs: Sequence[tuple[Input, Path]] = (),
        stdin: bytes | Path | None = None,
    ) -> RunnerChunk:
        """What all of its tasks share; without those that have ended, and without lines."""
        if stdin is None:
            stdin = b"" if work.stdin is None else work.stdin.data
        return RunnerChunk(
            attempt=one.id,
            job_id=work.job_id,
            tenant=work.tenant,
            module=module,
            limits=work.limits,
            milli_cpus=work.need.milli_cpus,
            env=environment(work.env, work.gpus, self._gpus),
            inputs=list(inputs),
            array=work.array,
            function=work.function,
            isolate=work.isolate,
            hold_s=work.slice_s,
            tasks=Tasks(first=work.first, count=work.count, args=work.args, stdin=stdin),
        )

    async def _module(self, held: contextlib.AsyncExitStack, one: Attempt, work: RunWork) -> PreparedModule | Outcome:
        async def fetch(dest: Path) -> None:
            try:
                await self._courier.fetch(work.module_sha256, dest, max_bytes=self._ceiling.module_bytes)
            except (NotFound, DigestMismatch) as error:
                message = f"the module {work.module_sha256[:12]} is gone from the store, or damaged; upload it again"
                raise ModuleNotFound(message) from error

        return await held.enter_async_context(
            self._modules.hold(
                work.module_sha256,
                fetch,
                metered=work.limits.fuel is not None,
                on_precompile=lambda: one.advance("precompiling"),
            )
        )

    async def _input(self, held: contextlib.AsyncExitStack, given: Input) -> Path:
        try:
            return await held.enter_async_context(self._blobs.hold(given.sha256, max_bytes=self._ceiling.input_bytes))
        except NotFound as error:
            raise InputNotFound(f"the input {given.path} is gone from the store") from error

    async def _stdin(self, held: contextlib.AsyncExitStack, work: RunWork) -> bytes | Path | None:
        if work.stdin is None or work.stdin.sha256 is None:
            return None
        hold = self._blobs.hold(work.stdin.sha256, max_bytes=self._ceiling.stdin_bytes)
        return await held.enter_async_context(hold)
