"""Rows of the store, and what the leader knows of unfinished jobs, as the JSON of `core.job`."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import structs

from wasmgrid.core.job import BuildView, JobView, Output, ResultView, Stats, TaskResult
from wasmgrid.core.lifecycle import FINISHED, JobState
from wasmgrid.core.outcome import OutcomeKind
from wasmgrid.protocol.events import LiveJob
from wasmgrid.store.rows import BuildRow, JobRow

_MEASURES = tuple(name for name in Stats.__struct_fields__ if name.endswith(("_ms", "_bytes")) or name == "fuel_used")


def job_view(
    row: JobRow,
    *,
    live: LiveJob | None = None,
    result: TaskResult | None = None,
    build: BuildRow | None = None,
    module_bytes: int | None = None,
    task_counts: Mapping[str, int] | None = None,
    sample: Sequence[Stats] = (),
    warnings: Iterable[str] = (),
) -> JobView:
    """A job as JSON. `live` counts where the store does not know the end yet.

    `sample` is what some of an array's tasks cost, in place of the one `result` of any other job.
    """
    finished = row.state in FINISHED
    if finished:
        live = None
    state = live.state if live is not None else row.state
    return JobView(
        id=row.id,
        name=row.name,
        state=state,
        state_reason=(live.reason if live is not None else row.message) or None,
        finished=finished,
        submitted_at=row.submitted_at,
        started_at=row.started_at or (live.started_at if live is not None else None),
        finished_at=row.finished_at,
        spec=row.spec,
        module_sha256=module_of(row, live),
        module_bytes=module_bytes,
        build=_build_view(row, build),
        task_count=row.task_count,
        task_counts=_counts(row, live, result, task_counts),
        stats=job_stats([result.stats] if result is not None else sample) or None,
        result=result_view(result) if result is not None else None,
        warnings=list(warnings),
    )


def is_array(row: JobRow) -> bool:
    """Whether the job was asked for as one of many tasks, so that it has no result of its own."""
    return row.spec.array is not None


def module_of(row: JobRow, live: LiveJob | None) -> str | None:
    """The job's module; the leader knows it a commit earlier than the store."""
    return row.module_sha256 or (live.module_sha256 if live is not None else None)


def result_view(result: TaskResult) -> ResultView:
    """A task's result as JSON."""
    stdout, stdout_base64 = text_of(result.stdout)
    stderr, stderr_base64 = text_of(result.stderr)
    return ResultView(
        job_id=result.job_id,
        index=result.index,
        attempt=result.attempt,
        worker_id=result.worker_id,
        outcome=result.outcome.kind,
        exit_code=result.outcome.exit_code,
        trap_kind=result.outcome.trap_kind,
        message=result.outcome.message,
        backtrace=result.outcome.backtrace,
        return_value=msgspec.Raw(result.return_value.encode()) if result.return_value is not None else None,
        stdout=stdout,
        stderr=stderr,
        stdout_base64=stdout_base64,
        stderr_base64=stderr_base64,
        stdout_bytes=result.stdout.size,
        stderr_bytes=result.stderr.size,
        stdout_truncated=result.stdout.truncated,
        stderr_truncated=result.stderr.truncated,
        stdout_sha256=result.stdout.sha256,
        stderr_sha256=result.stderr.sha256,
        artifacts=result.artifacts,
        stats=result.stats,
    )


def without_output(view: JobView) -> JobView:
    """A job as it stands in a list: what its task printed is left out."""
    if view.result is None:
        return view
    bare = structs.replace(view.result, stdout="", stderr="", stdout_base64=None, stderr_base64=None, backtrace=None)
    return structs.replace(view, result=bare)


def job_stats(stats: Sequence[Stats]) -> dict[str, Any]:
    """Quantiles over a job's tasks, per measure: `{"wall_ms": {"p50": ..., "p90": ..., "max": ...}, ...}`."""
    summary: dict[str, Any] = {}
    for name in _MEASURES:
        values = sorted(value for each in stats if (value := getattr(each, name)) is not None)
        if values:
            last = len(values) - 1
            summary[name] = {"p50": values[last // 2], "p90": values[last * 9 // 10], "max": values[last]}
    return summary


def text_of(output: Output) -> tuple[str, str | None]:
    """(text, base64 or None): the exact bytes are in the second where they are not UTF-8."""
    try:
        return output.data.decode(), None
    except UnicodeDecodeError as error:
        # The head of a larger output may end inside a character: that alone is no reason for base64.
        if output.sha256 is not None and error.reason == "unexpected end of data" and error.end == len(output.data):
            return output.data[: error.start].decode(), None
        return output.data.decode("utf-8", "replace"), base64.b64encode(output.data).decode()


def _build_view(row: JobRow, build: BuildRow | None) -> BuildView | None:
    if row.spec.source is None:
        return None
    if build is None:
        return BuildView(cached=row.build_cached, language=row.spec.source.language)
    return BuildView(
        cached=row.build_cached,
        diagnostics=build.diagnostics,
        diagnostics_truncated=build.diagnostics_truncated,
        toolchain=build.toolchain,
        language=build.source.language,
        build_ms=build.build_ms,
    )


def _counts(
    row: JobRow, live: LiveJob | None, result: TaskResult | None, stored: Mapping[str, int] | None
) -> dict[str, int]:
    """Tasks by state: as the leader counts them while the job lives, else as the store does."""
    if not is_array(row):
        state = task_state(result) if result is not None else live.state if live is not None else row.state
        return {str(state): 1}
    if live is not None and live.counts:
        return live.counts
    counts = dict(stored or {})
    waiting = row.task_count - sum(counts.values())
    if waiting > 0:
        counts[str(JobState.BUILDING if row.state is JobState.BUILDING else JobState.QUEUED)] = waiting
    return counts


def task_state(result: TaskResult) -> JobState:
    """How one task ended, as a job of it alone would have."""
    if result.outcome.succeeded:
        return JobState.SUCCEEDED
    return JobState.CANCELLED if result.outcome.kind is OutcomeKind.CANCELLED else JobState.FAILED
