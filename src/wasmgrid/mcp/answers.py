"""What an agent reads: bounded, and without anything that could steer whatever shows it. Absent means none."""

from __future__ import annotations

from typing import Any

import msgspec

from wasmgrid.core.job import BuildView
from wasmgrid.core.outcome import OutcomeKind
from wasmgrid.core.printable import neutralised
from wasmgrid.sdk import views

STDOUT_HEAD = 16 * 1024  # characters
STDERR_HEAD = 8 * 1024
DIAGNOSTICS_HEAD = 16 * 1024
VALUES_HEAD = 64 * 1024
MOST_ARTIFACTS = 100


class ArtifactLine(msgspec.Struct, frozen=True, kw_only=True):
    """A file that the program left in /out."""

    path: str
    bytes: int


class Cost(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What it took. `build_cached`: the same source had been compiled before."""

    build_ms: float | None = None
    build_cached: bool | None = None
    queue_ms: float | None = None
    wall_ms: float | None = None
    cpu_ms: float | None = None
    peak_memory_bytes: int | None = None


class CallResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one call of a function gave: its value, or the outcome that kept it from giving one."""

    index: int
    value: Any = None
    outcome: str | None = None
    message: str | None = None


class JobAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A job. `state` is building, queued, running, succeeded, failed or cancelled, `reason` why; `hint` what to do.

    `outcome` is how the program ended (exited, trapped, out_of_memory, timed_out, output_limit, cancelled,
    build_failed, rejected, lost); `stdout` and `stderr` are the beginning of what it wrote, `diagnostics` the
    compiler's words. Of calls of a function there are `counts` and `results`, by index.
    """

    job_id: int
    state: str
    reason: str | None = None
    warnings: list[str] = []
    hint: str | None = None
    outcome: str | None = None
    exit_code: int | None = None
    message: str | None = None
    backtrace: str | None = None
    stdout: str = ""
    stdout_bytes: int = 0
    stdout_truncated: bool = False
    stderr: str = ""
    stderr_bytes: int = 0
    stderr_truncated: bool = False
    diagnostics: str = ""
    artifacts: list[ArtifactLine] = []
    counts: dict[str, int] = {}
    results: list[CallResult] = []
    results_left_out: int = 0
    cost: Cost | None = None


class LanguageLine(msgspec.Struct, frozen=True, kw_only=True):
    """A language. `ready`: its toolchain is installed; else the first program waits for that."""

    language: str
    version: str
    ready: bool


class Languages(msgspec.Struct, frozen=True, kw_only=True):
    """What can be run."""

    languages: list[LanguageLine]


class JobLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A job among others."""

    job_id: int
    name: str
    state: str
    reason: str | None = None


class Jobs(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs, newest first."""

    jobs: list[JobLine]


class Piece(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Some bytes of a file or a stream, from `offset` on: `text`, or `base64` where they are none.

    `next_offset` asks for what follows; without it this was the end, of what there is so far. A `picture` (its media
    type) comes as one, beside this.
    """

    offset: int
    bytes: int
    text: str | None = None
    base64: str | None = None
    picture: str | None = None
    next_offset: int | None = None


class Failure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a request came to nothing: a stable code, what happened, what to do, and which argument is at fault."""

    error: str
    message: str
    hint: str | None = None
    field: str | None = None


Answer = JobAnswer | Languages | Jobs | Piece | Failure


def harmless(value: Any) -> Any:
    """`value` (JSON) with the control characters of its texts visible: no terminal obeys what a program wrote."""
    match value:
        case str():
            return neutralised(value)
        case list():
            return [harmless(each) for each in value]
        case dict():
            return {neutralised(key): harmless(each) for key, each in value.items()}
        case _:
            return value


def of_job(job: views.Job, *, diagnostics: str = "", results: list[CallResult] | None = None) -> JobAnswer:
    """A job with the heads of what it wrote; `diagnostics` and `results` are asked for apart."""
    result = job.result or views.Result()
    results = results or []
    not_built = bool(results) and results[0].outcome == OutcomeKind.BUILD_FAILED
    shown, left_out = _as_many_as_fit([] if not_built else results)
    outcome = OutcomeKind.BUILD_FAILED if not_built else result.outcome or None
    return JobAnswer(
        job_id=job.id,
        state=job.state,
        reason=job.state_reason if job.state_reason != result.message else None,
        warnings=job.warnings,
        hint=_hint(job, outcome, left_out),
        outcome=outcome,
        exit_code=result.exit_code,
        message=result.message,
        backtrace=result.backtrace,
        stdout=result.stdout[:STDOUT_HEAD],
        stdout_bytes=result.stdout_bytes,
        stdout_truncated=result.stdout_truncated or _is_cut(result.stdout, result.stdout_bytes, STDOUT_HEAD),
        stderr=result.stderr[:STDERR_HEAD],
        stderr_bytes=result.stderr_bytes,
        stderr_truncated=result.stderr_truncated or _is_cut(result.stderr, result.stderr_bytes, STDERR_HEAD),
        diagnostics=diagnostics[:DIAGNOSTICS_HEAD],
        artifacts=[ArtifactLine(path=each.path, bytes=each.bytes) for each in result.artifacts[:MOST_ARTIFACTS]],
        counts={key: count for key, count in job.task_counts.items() if count} if results and not not_built else {},
        results=shown,
        results_left_out=left_out,
        cost=_cost(job) if job.done else None,
    )


def _is_cut(head: str, size: int, most: int) -> bool:
    return len(head) > most or size > len(head.encode())


def _as_many_as_fit(results: list[CallResult]) -> tuple[list[CallResult], int]:
    """The first results whose JSON is together below a bound, and how many others there are."""
    size = 0
    for number, each in enumerate(results):
        size += len(msgspec.json.encode(each)) + 1
        if size > VALUES_HEAD:
            return results[:number], len(results) - number
    return results, 0


def _cost(job: views.Job) -> Cost:
    stats = job.result.stats if job.result is not None else None
    build = job.build or BuildView()
    return Cost(
        build_ms=_rounded(build.build_ms),
        build_cached=build.cached,
        queue_ms=_rounded(stats.queue_ms) if stats is not None else None,
        wall_ms=_rounded(stats.wall_ms) if stats is not None else None,
        cpu_ms=_rounded(stats.cpu_ms) if stats is not None else None,
        peak_memory_bytes=stats.peak_memory_bytes if stats is not None else None,
    )


def _rounded(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds, 1)


_HINTS = {
    "build_failed": "mend what the diagnostics say, and run it again",
    "timed_out": "give it more time_limit_s, or less to do",
    "out_of_memory": "give it more memory_mb, or less to hold",
    "output_limit": "print less, or write to a file in /out",
    "trapped": "the backtrace says where; a crash of the program stays inside it",
    "lost": "no fault of the program as far as is known; run it again",
}


def _hint(job: views.Job, outcome: str | None, left_out: int) -> str | None:
    if not job.done:
        return f"it goes on: get_job with job_id {job.id} and a wait_s, or cancel_job"
    if left_out:
        return "give fewer inputs at a time to see every result"
    return _HINTS.get(outcome or "")
