"""One attempt of a run task on this worker: fetch, precompile, run, hand over what it left."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec.structs import replace

from wasmgrid.core.errors import DigestMismatch, InputNotFound, ModuleNotFound, NotFound, TooLarge
from wasmgrid.core.job import INLINE_BYTES, Artifact, Input, Output, TaskResult
from wasmgrid.core.limits import Ceiling
from wasmgrid.core.outcome import Outcome, OutcomeKind
from wasmgrid.core.wire import RunWork
from wasmgrid.core.worker import Gpu
from wasmgrid.worker.blobs import BlobCache
from wasmgrid.worker.courier import Courier
from wasmgrid.worker.gpus import environment
from wasmgrid.worker.modules import ModuleCache
from wasmgrid.worker.runners import Runners
from wasmgrid.worker.task import OutputFile, PreparedModule, RunnerReport, RunnerTask, TaskKey

Advance = Callable[[str, str, float | None], None]
"""(phase, detail for people, when it began to run in seconds since 1970)"""

NEVER = (NotFound, InputNotFound, TooLarge, DigestMismatch)
CANCELLED = Outcome(kind=OutcomeKind.CANCELLED, message="cancelled on request")


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
        self._worker_id = worker_id
        self._gpus = gpus
        self._modules = modules
        self._runners = runners
        self._blobs = blobs
        self._courier = courier
        self._ceiling = Ceiling()
        self._live: dict[int, TaskKey] = {}

    async def run(self, attempt: int, work: RunWork, advance: Advance) -> TaskResult:
        """The result of this attempt. Cancelling this kills the runner; a guest's failure is part of the result."""
        try:
            return await self._run(attempt, work, advance)
        except ModuleNotFound as error:
            refused = self.refusal(attempt, work, Outcome(kind=OutcomeKind.REJECTED, message=error.message))
            return replace(refused, module_missing=True)
        except NEVER as error:
            return self.refusal(attempt, work, Outcome(kind=OutcomeKind.REJECTED, message=error.message))

    def cancel(self, attempt: int) -> bool:
        """End the guest of this attempt; its result then says cancelled and keeps its output. False where none runs."""
        key = self._live.get(attempt)
        if key is None:
            return False
        self._runners.kill(key, CANCELLED)
        return True

    def refusal(self, attempt: int, work: RunWork, outcome: Outcome) -> TaskResult:
        """The result of an attempt whose guest never ran."""
        return TaskResult(
            job_id=work.job_id, index=work.first, attempt=attempt, worker_id=self._worker_id, outcome=outcome
        )

    async def _run(self, attempt: int, work: RunWork, advance: Advance) -> TaskResult:
        advance("fetching", "", None)
        started = time.perf_counter()
        async with contextlib.AsyncExitStack() as held:
            inputs = [(one, await self._input(held, one)) for one in work.inputs]
            stdin = await self._stdin(held, work)
            fetch_ms = (time.perf_counter() - started) * 1000
            module = await self._module(held, work, advance)
            if isinstance(module, Outcome):
                return self.refusal(attempt, work, module)
            advance("running", "", time.time())
            task = RunnerTask(
                attempt=attempt,
                index=work.first,
                job_id=work.job_id,
                tenant=work.tenant,
                module=module,
                limits=work.limits,
                milli_cpus=work.need.milli_cpus,
                args=work.args,
                env=environment(work.env, work.gpus, self._gpus),
                stdin=stdin,
                inputs=inputs,
            )
            self._live[attempt] = task.key
            try:
                report = await self._runners.run(task)
            finally:
                del self._live[attempt]
            try:
                return await self._hand_over(report, work, module, fetch_ms if work.inputs else 0.0)
            finally:
                self._runners.release(task.key)

    async def _hand_over(
        self, report: RunnerReport, work: RunWork, module: PreparedModule, input_ms: float
    ) -> TaskResult:
        stdout, stderr = await self._output(report.stdout), await self._output(report.stderr)
        artifacts = []
        for file in report.artifacts:
            sha256, size = await self._courier.upload(file.local)
            artifacts.append(Artifact(path=file.path, bytes=size, sha256=sha256))
        stats = replace(
            report.stats,
            fetch_ms=module.fetch_ms + input_ms,
            precompile_ms=module.precompile_ms,
            module_cached=module.module_cached,
            precompile_cached=module.precompile_cached,
            output_bytes=stdout.size + stderr.size,
        )
        return TaskResult(
            job_id=work.job_id,
            index=report.index,
            attempt=report.attempt,
            worker_id=self._worker_id,
            outcome=report.outcome,
            stdout=stdout,
            stderr=stderr,
            artifacts=artifacts,
            stats=stats,
            started_at=report.started_at,
            finished_at=report.finished_at,
        )

    async def _output(self, file: OutputFile) -> Output:
        sha256 = None
        if file.path is not None and file.size > INLINE_BYTES:
            sha256, _ = await self._courier.upload(file.path)
        return Output(data=file.data, size=file.size, truncated=file.truncated, sha256=sha256)

    async def _module(
        self, held: contextlib.AsyncExitStack, work: RunWork, advance: Advance
    ) -> PreparedModule | Outcome:
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
                on_precompile=lambda: advance("precompiling", "", None),
            )
        )

    async def _input(self, held: contextlib.AsyncExitStack, one: Input) -> Path:
        try:
            return await held.enter_async_context(self._blobs.hold(one.sha256, max_bytes=self._ceiling.input_bytes))
        except NotFound as error:
            raise InputNotFound(f"the input {one.path} is gone from the store") from error

    async def _stdin(self, held: contextlib.AsyncExitStack, work: RunWork) -> bytes | Path:
        if work.stdin is None:
            return b""
        if work.stdin.sha256 is None:
            return work.stdin.data
        hold = self._blobs.hold(work.stdin.sha256, max_bytes=self._ceiling.stdin_bytes)
        return await held.enter_async_context(hold)
