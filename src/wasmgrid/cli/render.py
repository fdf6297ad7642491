"""A job as text. Pure: views in, strings out, with everything foreign in them neutralised."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from datetime import datetime

from wasmgrid.cli import arraytext
from wasmgrid.cli.terminal import JSON_CONTROLS, neutralised, one_line
from wasmgrid.core.limits import MB
from wasmgrid.core.units import format_bytes, format_ms
from wasmgrid.sdk.views import Job, Result, Spec

HEAD_BYTES = 4096  # of stdout in the status block


def running(job_id: int) -> str:
    """What `run` says at once."""
    return f"job running, id: {job_id}."


def status_block(job: Job, *, now: datetime, live_head: bytes = b"") -> str:
    """The prototype's block, byte for byte: tabs, JSON-quoted, the head of stdout.

    `live_head` is what an unfinished job has written so far.
    """
    head = job.result.stdout_head if job.result is not None else live_head
    shown = head[:HEAD_BYTES].decode("utf-8", "ignore" if len(head) > HEAD_BYTES else "replace")
    return (
        "job status:\n"
        f"\tname: {quoted(job.name)}\n"
        f"\tfinished: {'true' if job.done else 'false'}\n"
        f"\trunning time (ms): {running_ms(job, now)}\n"
        f"\texecution output: {quoted(shown)}\n"
    )


def status_details(job: Job, *, now: datetime) -> str:
    """What stands below the prototype's block."""
    return "".join(f"\t{name}: {one_line(value)}\n" for name, value in _details(job, now))


def summary(job: Job) -> str:
    """The one line after a run: `compile cached · queue 3 ms · run 5.00 s · cpu 1 ms · peak 1.1 MiB · worker w1`."""
    result = job.result
    parts = [_compiled(job)]
    if result is not None and _has_run(result):
        stats = result.stats
        queue_ms = stats.queue_ms
        parts += [f"queue {format_ms(queue_ms)}"] if queue_ms is not None else []
        parts += [f"run {format_ms(stats.wall_ms)}", f"cpu {format_ms(stats.cpu_ms)}"]
        parts += [f"peak {format_bytes(stats.peak_memory_bytes)}"] if stats.peak_memory_bytes else []
        parts += [f"fuel {stats.fuel_used}"] if stats.fuel_used is not None else []
    if result is not None and result.worker_id:
        parts.append(f"worker {result.worker_id}")
    if result is not None and result.outcome == "exited" and result.exit_code:
        parts.append(f"exit {result.exit_code}")
    return one_line(" · ".join(part for part in parts if part) or f"job {job.id} {job.state}")


def failure(job: Job) -> list[str]:
    """Why a job did not end by itself, what to do about it, and where it was; nothing where it exited."""
    result = job.result
    if result is None:
        if job.state == "succeeded" or not job.done or (job.is_array and not job.state_reason):
            return []
        return [one_line(f"error[{job.state}]: {job.state_reason or f'job {job.id} is {job.state}'}")]
    if result.outcome == "exited":
        return []
    what = result.message or job.state_reason or f"job {job.id} ended so"
    hint = outcome_hint(job, result)
    lines = [one_line(f"error[{result.outcome}]: {what}" + (f" · {hint}" if hint else ""))]
    if result.backtrace:
        lines += ["  " + one_line(line) for line in result.backtrace.splitlines()]
    return lines


def outcome_hint(job: Job, result: Result) -> str | None:
    """The flag or the command that most likely helps."""
    spec = job.spec
    match result.outcome:
        case "timed_out":
            return _longer_hint(spec, result.message or "")
        case "out_of_memory":
            peak_mb = math.ceil(result.stats.peak_memory_bytes / MB)  # more than asked for, where a retry had more
            return f"allow more: --memory-mb {max(spec.memory_mb, peak_mb, 1) * 2}"
        case "output_limit":
            limit = format_bytes(spec.output_limit_bytes * 2).replace(" ", "")
            return f"allow more: --output-limit {limit}, or cut it: --output-overflow truncate"
        case "out_of_fuel":
            return "allow more: --fuel N"
        case "trapped":
            return f"take it home: wasmgrid repro {job.id}"
        case "build_failed":
            return f"again: wasmgrid logs --build {job.id}"
        case "rejected" if spec.function is not None:
            return None  # the message says what would fit
        case "lost" | "rejected":
            return f"why: wasmgrid why {job.id}"
        case _:
            return None


def _longer_hint(spec: Spec, message: str) -> str:
    """Of three timeouts, the one that passed is named in the message."""
    for key, seconds in (("queue_timeout", spec.queue_timeout_s), ("total_timeout", spec.total_timeout_s)):
        if seconds is not None and key in message:
            return f"allow more: --{key.replace('_', '-')} {_longer(seconds)}"
    return f"allow more: --time-limit {_longer(spec.time_limit_s)}"


def diagnostics(text: str, *, colour: bool) -> str:
    """A compiler's words, its own marks visible, errors and warnings coloured by us."""
    lines = neutralised(_without_colour(text)).splitlines()
    return "".join((_coloured(line) if colour else line) + "\n" for line in lines)


def running_ms(job: Job, now: datetime) -> int:
    """How long the program ran: the worker's figure, or from its start until now."""
    if job.result is not None:
        return round(job.result.stats.wall_ms)
    if job.started_at is None:
        return 0
    until = job.finished_at or now
    return max(0, round((until - job.started_at).total_seconds() * 1000))


def quoted(text: str) -> str:
    """`text` as a JSON string that no terminal obeys; still the same text to whoever parses it."""
    return json.dumps(text, ensure_ascii=False).translate(JSON_CONTROLS)


def when(moment: datetime | None) -> str:
    """A time as RFC 3339 UTC, to the second."""
    return "-" if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def outcome(job: Job) -> str:
    """How a job ended, in a word: `exited(0)`, `trapped(unreachable)`, `timed_out`; `-` where it has not."""
    result = job.result
    if job.is_array:
        return f"{job.counts.succeeded}/{job.task_count}"
    return "-" if result is None else arraytext.outcome(result)


def _details(job: Job, now: datetime) -> Iterator[tuple[str, str]]:
    yield "id", str(job.id)
    yield "state", job.state + (f" ({job.state_reason})" if job.state_reason else "")
    if job.is_array:
        yield from arraytext.details(job, now)
    result = job.result
    if result is not None:
        yield "outcome", outcome(job)
        if result.return_value is not None:
            yield "return value", json.dumps(result.return_value, ensure_ascii=False)
        if result.message and result.outcome != "exited" and result.message != job.state_reason:
            yield "message", result.message
    yield "submitted", when(job.submitted_at)
    if job.build is not None and job.build.toolchain:
        yield "toolchain", job.build.toolchain
    if result is not None:
        yield "statistics", summary(job)
        yield from _outputs(result)
        for artifact in result.artifacts[:20]:
            yield "artifact", f"{artifact.path} ({format_bytes(artifact.bytes)})"
    if job.module_sha256:
        yield "wasm", job.module_sha256 + (f" ({format_bytes(job.module_bytes)})" if job.module_bytes else "")
    yield "next", _next(job)


def _outputs(result: Result) -> Iterator[tuple[str, str]]:
    if result.stdout_bytes > HEAD_BYTES or result.stdout_truncated:
        yield "stdout", _size(result.stdout_bytes, truncated=result.stdout_truncated)
    if result.stderr_bytes:
        yield "stderr", _size(result.stderr_bytes, truncated=result.stderr_truncated)


def _size(count: int, *, truncated: bool) -> str:
    return format_bytes(count) + (" kept, more was written" if truncated else "")


def _next(job: Job) -> str:
    if job.is_array:
        return arraytext.following(job)
    if not job.done:
        return f"wasmgrid logs -f {job.id} · wasmgrid why {job.id} · wasmgrid cancel {job.id}"
    result = job.result
    if result is not None and result.outcome == "build_failed":
        return f"wasmgrid logs --build {job.id}"
    steps = [f"wasmgrid logs {job.id}"]
    steps += [f"wasmgrid wasm {job.id} -o {job.id}.wasm"] if job.module_sha256 else []
    steps += [f"wasmgrid artifacts {job.id} -o out"] if result is not None and result.artifacts else []
    return " · ".join(steps)


def _has_run(result: Result) -> bool:
    return result.outcome not in {"build_failed", "rejected", "lost"} and bool(result.worker_id)


def _compiled(job: Job) -> str:
    build = job.build
    if build is None:
        return ""
    outcome = job.result.outcome if job.result is not None else ""
    if outcome == "build_failed":
        return "compile failed"
    if outcome in {"rejected", "lost"} and not build.build_ms:
        return ""
    if build.cached:
        return "compile cached"
    build_ms = build.build_ms
    if build_ms is None and job.result is not None:
        build_ms = job.result.stats.build_ms
    return f"compile {format_ms(build_ms)}" if build_ms is not None else ""


def _longer(limit_s: float) -> str:
    doubled = max(limit_s, 0.5) * 2
    return f"{doubled / 60:.0f}m" if doubled >= 120 else f"{doubled:g}s"


_RED, _YELLOW, _CYAN, _BOLD, _PLAIN = "\x1b[1;31m", "\x1b[1;33m", "\x1b[36m", "\x1b[1m", "\x1b[0m"
_MARKS = (("error", _RED), ("warning", _YELLOW), ("note", _CYAN), ("help", _CYAN))


def _coloured(line: str) -> str:
    for word, colour in _MARKS:
        at = line.find(word)
        after = line[at + len(word) : at + len(word) + 1]
        if at >= 0 and after in {":", "["}:
            return f"{line[:at]}{colour}{line[at : at + len(word)]}{_PLAIN}{line[at + len(word) :]}"
    stripped = line.lstrip(" |")
    return f"{_BOLD}{line}{_PLAIN}" if stripped and not stripped.strip("^~- ") else line


def _without_colour(text: str) -> str:
    """Without the colours that a compiler itself set (`ESC [ ... m`); every other escape stays, and is shown."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
