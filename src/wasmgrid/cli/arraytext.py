"""A job with many tasks as text. Pure: views in, strings out, with everything foreign in them neutralised."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import msgspec

from wasmgrid.cli.terminal import one_line
from wasmgrid.core.units import format_bytes, format_ms
from wasmgrid.sdk import meter
from wasmgrid.sdk.views import Job, Result

_MOST_GROUPS = 5
_MEASURES = (("wall_ms", "run"), ("cpu_ms", "cpu"), ("peak_memory_bytes", "peak"))


def counted(job: Job) -> str:
    """`100 tasks: 97 succeeded, 3 failed`, and whatever else there is."""
    counts = job.counts
    waiting = counts.total - counts.ended - counts.running
    parts = [
        f"{number:,} {word}"
        for number, word in (
            (counts.succeeded, "succeeded"), (counts.failed, "failed"), (counts.cancelled, "cancelled"),
            (counts.running, "running"), (waiting, "waiting"),
        )
        if number
    ]  # fmt: skip
    tasks = "1 task" if counts.total == 1 else f"{counts.total:,} tasks"
    return f"{tasks}: {', '.join(parts)}" if parts else tasks


def summary(job: Job) -> str:
    """The line after a run: `100 tasks: 97 succeeded, 3 failed · 1.02 s · 98 tasks/s · run p50 0.1 ms, max 3 ms`."""
    parts = [counted(job)]
    seconds = _seconds(job, job.finished_at)
    if seconds is not None:
        parts.append(format_ms(seconds * 1000))
        if seconds > 0 and job.counts.ended:
            parts.append(f"{meter.pace(job.counts.ended / seconds)} tasks/s")
    stats = job.stats or {}
    parts += [f"run {_quantiles(stats['wall_ms'], 'wall_ms')}"] if "wall_ms" in stats else []
    return one_line(" · ".join(parts))


def failures(job: Job, failed: Sequence[Result]) -> list[str]:
    """What went wrong, one line for each way in which it did (`failed` are some of the tasks), and what to type."""
    if not failed:
        return []
    groups: dict[tuple[str, str], list[Result]] = {}
    for task in failed:
        groups.setdefault((outcome(task), why(task)), []).append(task)
    largest = sorted(groups.items(), key=lambda group: (-len(group[1]), group[1][0].index))
    most = "at least " if job.counts.failed > len(failed) else ""
    lines = [
        f"  {most}{len(tasks):,} x {word}{f': {message}' if message else ''} · "
        f"see: wasmgrid logs {job.id} --index {tasks[0].index}"
        for (word, message), tasks in largest[:_MOST_GROUPS]
    ]
    if len(largest) > _MOST_GROUPS:
        lines.append(f"  and {len(largest) - _MOST_GROUPS} other ways")
    lines.append(f"all of them: wasmgrid tasks {job.id} --failed · again: wasmgrid rerun {job.id} --failed")
    return [one_line(line) for line in lines]


def details(job: Job, now: datetime) -> Iterator[tuple[str, str]]:
    """What `status` says of the tasks: where they are, how fast they go, how long they took."""
    yield "tasks", counted(job)
    seconds = _seconds(job, job.finished_at or now)
    ended = job.counts.ended
    if seconds and ended:
        rate = ended / seconds
        rest = f", {meter.left((job.task_count - ended) / rate)} left" if not job.done else ""
        yield "rate", f"{meter.pace(rate)} tasks/s{rest}"
    for key, word in _MEASURES:
        if job.stats is not None and any(job.stats.get(key, {}).values()):
            yield word, _quantiles(job.stats[key], key)


def following(job: Job) -> str:
    """What to type next."""
    if not job.done:
        return f"wasmgrid results -f {job.id} · wasmgrid why {job.id} · wasmgrid cancel {job.id}"
    if job.counts.failed:
        return f"wasmgrid tasks {job.id} --failed · wasmgrid rerun {job.id} --failed"
    return f"wasmgrid results {job.id} · wasmgrid logs {job.id} --index 0"


def outcome(task: Result) -> str:
    """How a task ended, in a word: `exited(0)`, `trapped(unreachable)`, `timed_out`."""
    if task.outcome == "exited":
        return f"exited({task.exit_code})"
    return f"{task.outcome}({task.trap_kind})" if task.trap_kind else task.outcome


def why(task: Result) -> str:
    """Why a task did not succeed: what is known of it, or the first line that it wrote to stderr."""
    return task.message or task.stderr.strip().partition("\n")[0]


def value(returned: Any) -> str:
    """What a function gave, for a person: text as it is, anything else as JSON, nothing for nothing."""
    if returned is None:
        return ""
    return returned if isinstance(returned, str) else msgspec.json.encode(returned).decode()


def _seconds(job: Job, until: datetime | None) -> float | None:
    began = job.started_at or job.submitted_at
    return max(0.0, (until - began).total_seconds()) if began is not None and until is not None else None


def _quantiles(measured: dict[str, float], key: str) -> str:
    shown = format_bytes if key.endswith("_bytes") else brief
    return ", ".join(f"{name} {shown(each)}" for name, each in measured.items() if name != "p90")


def brief(ms: float) -> str:
    """A time that may be microseconds."""
    return f"{ms * 1000:.0f} us" if ms < 0.95 else format_ms(ms)
