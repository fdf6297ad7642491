"""From what runners report to what the leader is told: large outputs and artifacts are uploaded on the way."""

from __future__ import annotations

from msgspec.structs import replace

from wasmgrid.core.errors import WasmgridError
from wasmgrid.core.job import INLINE_BYTES, Artifact, Output, Stats, TaskRange, TaskResult
from wasmgrid.core.outcome import Outcome, OutcomeKind, exited
from wasmgrid.core.wire import RunWork
from wasmgrid.worker.courier import Courier
from wasmgrid.worker.task import OutputFile, PreparedModule, RangeReport, RunnerReport

CANCELLED = Outcome(kind=OutcomeKind.CANCELLED, message="cancelled on request")
_NOTHING = Output()


class Cost:
    """What it took to get a chunk ready, which goes into the statistics of its first task: the others found it so."""

    def __init__(self, module: PreparedModule, input_ms: float) -> None:
        self._module = module
        self._fetch_ms = module.fetch_ms + input_ms

    def added(self, stats: Stats, output_bytes: int) -> Stats:
        """The runner's `stats` and the agent's."""
        module, fetch_ms, self._fetch_ms = self._module, self._fetch_ms, 0.0
        if not (module.module_cached and module.precompile_cached):
            self._module = replace(module, precompile_ms=0.0, module_cached=True, precompile_cached=True)
        return replace(
            stats,
            fetch_ms=fetch_ms,
            precompile_ms=module.precompile_ms,
            module_cached=module.module_cached,
            precompile_cached=module.precompile_cached,
            output_bytes=output_bytes,
        )


class Results:
    """Makes the results of one worker."""

    def __init__(self, worker_id: str, courier: Courier) -> None:
        self._worker_id = worker_id
        self._courier = courier

    def refused(
        self, attempt: int, work: RunWork, index: int, outcome: Outcome, *, missing: bool = False
    ) -> TaskResult:
        """The result of a task whose guest never ran. `missing`: the module's blob is."""
        return TaskResult(
            job_id=work.job_id,
            index=index,
            attempt=attempt,
            worker_id=self._worker_id,
            outcome=outcome,
            module_missing=missing,
        )

    def small(self, report: RunnerReport, work: RunWork, cost: Cost) -> TaskResult:
        """The result of a task that left nothing to upload."""
        stdout, stderr = report.stdout, report.stderr
        return TaskResult(
            job_id=work.job_id,
            index=report.index,
            attempt=report.attempt,
            worker_id=self._worker_id,
            outcome=report.outcome,
            stdout=_inline(stdout),
            stderr=_inline(stderr),
            stats=cost.added(report.stats, stdout.size + stderr.size),
            started_at=report.started_at,
            finished_at=report.finished_at,
            return_value=report.return_value,
        )

    async def large(self, report: RunnerReport, work: RunWork, cost: Cost) -> TaskResult:
        """The result of any task. What can never be taken is in it as its rejection."""
        result = self.small(report, work, cost)
        try:
            stdout, stderr = await self._uploaded(report.stdout), await self._uploaded(report.stderr)
            artifacts = []
            for file in report.artifacts:
                sha256, size = await self._courier.upload(file.local)
                artifacts.append(Artifact(path=file.path, bytes=size, sha256=sha256))
        except WasmgridError as error:
            refusal = Outcome(kind=OutcomeKind.REJECTED, message=error.message)
            return self.refused(report.attempt, work, report.index, refusal)
        return replace(result, stdout=stdout, stderr=stderr, artifacts=artifacts)

    def of_calls(self, report: RangeReport, work: RunWork, cost: Cost) -> TaskRange:
        """The result of calls that returned."""
        return TaskRange(
            job_id=work.job_id,
            first=report.first,
            count=report.count,
            attempt=report.attempt,
            worker_id=self._worker_id,
            outcome=exited(0),
            values=report.values,
            stats=cost.added(report.stats, 0),
            started_at=report.started_at,
            finished_at=report.finished_at,
        )

    async def _uploaded(self, file: OutputFile) -> Output:
        sha256 = None
        if file.path is not None and file.size > INLINE_BYTES:
            sha256, _ = await self._courier.upload(file.path)
        return Output(data=file.data, size=file.size, truncated=file.truncated, sha256=sha256)


def is_large(report: RunnerReport) -> bool:
    """Whether something of it is in files."""
    return bool(report.artifacts or report.stdout.path is not None or report.stderr.path is not None)


def _inline(file: OutputFile) -> Output:
    return Output(data=file.data, size=file.size, truncated=file.truncated) if file.size or file.truncated else _NOTHING
