"""One frame of `top` as lines of styled text. Pure: what was seen, the size and the order are arguments."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from wasmgrid.cli import arraytext
from wasmgrid.cli.render import running_ms
from wasmgrid.cli.spark import bar, spark
from wasmgrid.cli.tables import age
from wasmgrid.cli.terminal import cut, one_line
from wasmgrid.core.overview import Overview, Used
from wasmgrid.core.units import format_ms
from wasmgrid.sdk import meter
from wasmgrid.sdk.views import Job, Worker

Line = list[tuple[str, str]]
"""Parts of a line: (text, style as rich knows it)."""

SORTS: dict[str, Callable[[Worker], tuple[float | str, ...]]] = {
    "name": lambda each: (each.id,),
    "cpus": lambda each: (-each.used.milli_cpus, each.id),
    "memory": lambda each: (-each.used.memory_mb, each.id),
    "tasks": lambda each: (-len(each.running), each.id),
}
_STATES = (
    ("running", "green"), ("queued", "yellow"), ("building", "cyan"), ("succeeded", ""), ("failed", "red"),
    ("cancelled", "dim"),
)  # fmt: skip
_STATE_STYLES = dict(_STATES) | {"joined": "green", "unheard": "red", "quarantined": "red"}
_GAUGE = 10
_SPARK = 30
_RATE_STEPS = 5  # chunks end together: a single step is now nothing, now twice as much


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the grid said last. `rates` are tasks a second by job, `trouble` why it says nothing now."""

    server: str
    overview: Overview
    workers: Sequence[Worker] = ()
    jobs: Sequence[Job] = ()
    rates: Mapping[int, float] = field(default_factory=dict)
    trouble: str | None = None


@dataclass(frozen=True, kw_only=True)
class Look:
    """How it is to be shown. `rows` None: everything, however long that is."""

    columns: int
    rows: int | None = None
    sort: str = "name"
    ascii_only: bool = False
    paused: bool = False
    keys: bool = True


def frame(seen: Seen, look: Look, now: datetime) -> list[Line]:
    """The lines, none longer than the terminal is wide, not more than it has rows."""
    lines = [*_head(seen, look, now), []]
    foot = [_foot(look)] if look.keys else []
    room = None if look.rows is None else max(0, look.rows - len(lines) - len(foot))
    workers, jobs = _workers(seen, look), _jobs(seen, now)
    if room is not None:
        for_workers = min(len(workers), max(3, room // 2, room - len(jobs) - 1))
        workers = _shortened(workers, for_workers, "workers")
        jobs = _shortened(jobs, max(0, room - len(workers) - 1), "jobs")
    lines += [*workers, [], *jobs]
    if look.rows is not None:
        lines = lines[: look.rows - len(foot)]
        lines += [[] for _ in range(look.rows - len(foot) - len(lines))]
    return [_fitted(line, look.columns) for line in lines + foot]


def _head(seen: Seen, look: Look, now: datetime) -> Iterator[Line]:
    said, series = seen.overview, seen.overview.series
    title = f"wasmgrid {said.version} · {seen.server} · {now:%H:%M:%S}" + (" · paused" if look.paused else "")
    yield [(title, "bold"), *([("  " + seen.trouble, "red")] if seen.trouble else [])]
    counts: Line = [("jobs    ", "dim")]
    for state, style in _STATES:
        counts += [(f"{said.jobs.get(state, 0):,}", f"bold {style}".strip()), (f" {state}   ", "")]
    yield counts
    latest = series.tasks_per_s[-_RATE_STEPS:]
    rate = sum(latest) / len(latest) if latest else 0.0
    width = min(_SPARK, max(0, look.columns - 50))
    ended = [f"{said.success_rate:.1%} succeed"] if said.success_rate is not None else []
    p50, p99 = _last(series.wall_ms_p50), _last(series.wall_ms_p99)
    ended += (
        [f"run p50 {arraytext.brief(p50)}, p99 {arraytext.brief(p99)}"] if p50 is not None and p99 is not None else []
    )
    yield [
        ("tasks   ", "dim"), (f"{meter.pace(rate) if rate else '0'}/s".ljust(12), "bold"),
        (spark(series.tasks_per_s, width, ascii_only=look.ascii_only), "green"), ("  " + " · ".join(ended), ""),
    ]  # fmt: skip
    oldest = f", the oldest for {format_ms(said.queue.oldest_s * 1000)}" if said.queue.oldest_s is not None else ""
    yield [
        ("queue   ", "dim"), (f"{said.queue.tasks:,}".ljust(12), "bold"),
        (spark(series.queue_tasks, width, ascii_only=look.ascii_only), "yellow"), (f"  waiting{oldest}", ""),
    ]  # fmt: skip
    there = said.workers
    use: Line = [("use     ", "dim")]
    use += _gauge("cpus", there.cpus, look) + _gauge("GiB", _scaled(there.memory_mb), look)
    use += _gauge("gpus", there.gpus, look) if there.gpus.total else []
    use += [(f"{there.running_tasks:,} tasks run", "")]
    if said.builds.hit_rate is not None:
        use += [(f"   {said.builds.hit_rate:.0%} of builds cached", "")]
    yield use


def _gauge(name: str, used: Used, look: Look) -> Line:
    share = used.used / used.total if used.total else 0.0
    style = "red" if share > 0.95 else "yellow" if share > 0.75 else "green"
    drawn = bar(used.used, used.total, _GAUGE, ascii_only=look.ascii_only)
    return [(drawn, style), (f" {used.used:.3g}/{used.total:.3g} {name}   ", "")]


def _scaled(memory_mb: Used) -> Used:
    return Used(used=memory_mb.used / 1024, total=memory_mb.total / 1024)


def _workers(seen: Seen, look: Look) -> list[Line]:
    if not seen.workers:
        return [[("no worker has joined · start one: wasmgrid worker, or wasmgrid join-command", "yellow")]]
    width = max(6, *(len(each.id) for each in seen.workers[:200]))
    head = f"{'WORKER':<{width}}  {'STATE':<11}  {'CPUS':<{_GAUGE + 10}}  {'GIB':<{_GAUGE + 12}}  {'GPUS':<5}  RUNS"
    lines: list[Line] = [[(head, "dim")]]
    for each in sorted(seen.workers, key=SORTS[look.sort]):
        cpus = Used(used=each.used.milli_cpus / 1000, total=each.capacity.milli_cpus / 1000)
        memory = _scaled(Used(used=each.used.memory_mb, total=each.capacity.memory_mb))
        gpus = f"{each.used.gpus}/{each.capacity.gpus}" if each.capacity.gpus else "-"
        lines.append([
            (f"{one_line(each.id):<{width}}  ", "bold"),
            (f"{each.state:<11}  ", _STATE_STYLES.get(each.state, "yellow")),
            *_cell(cpus, _GAUGE + 10, look), *_cell(memory, _GAUGE + 12, look),
            (f"{gpus:<5}  ", ""), (_runs(each.running), ""),
        ])  # fmt: skip
    return lines


def _runs(running: Sequence[str]) -> str:
    """What runs on a worker, its tasks together: `job 5 x2, build 7`."""
    counted = Counter(running)
    shown = [name + (f" x{count}" if count > 1 else "") for name, count in counted.most_common(4)]
    return one_line(", ".join(shown)) + (f" and {len(counted) - 4} more" if len(counted) > 4 else "") or "-"


def _cell(used: Used, width: int, look: Look) -> Line:
    text = f" {used.used:.3g}/{used.total:.3g}"
    return [
        (bar(used.used, used.total, _GAUGE, ascii_only=look.ascii_only), "green"),
        (text.ljust(width - _GAUGE + 2), ""),
    ]


def _jobs(seen: Seen, now: datetime) -> list[Line]:
    if not seen.jobs:
        return [[("no job runs or waits · run one: wasmgrid run hello.rs", "dim")]]
    lines: list[Line] = [
        [(f"{'JOB':<7} {'NAME':<18}  {'STATE':<9} {'TASKS':<18} {'RATE':<10} {'LEFT':<8} {'RUN':<9} AGE", "dim")]
    ]
    for job in seen.jobs:
        counts, rate = job.counts, seen.rates.get(job.id, 0.0)
        left = (counts.total - counts.ended) / rate if rate else math.inf
        ran = format_ms(running_ms(job, now)) if job.started_at is not None else "-"
        tasks = f"{counts.ended:,}/{counts.total:,}" if job.is_array else "-"
        lines.append([
            (f"{job.id:<7} {cut(one_line(job.name or '-'), 18):<18}  ", "bold"),
            (f"{job.state:<9} ", _STATE_STYLES.get(job.state, "")),
            (f"{tasks:<18} {f'{meter.pace(rate)}/s' if rate else '-':<10} ", ""),
            (f"{meter.left(left) if math.isfinite(left) else '-':<8} {ran:<9} {age(job.submitted_at, now):<5}", ""),
            (f" {one_line(job.state_reason)}" if job.state_reason and job.state != "running" else "", "dim"),
        ])  # fmt: skip
    return lines


def _foot(look: Look) -> Line:
    return [(" q ", "reverse"), (" quit  ", ""), (" s ", "reverse"), (f" sorted by {look.sort}  ", ""),
            (" p ", "reverse"), (" go on" if look.paused else " pause", "")]  # fmt: skip


def _shortened(lines: list[Line], most: int, what: str) -> list[Line]:
    """The first of them, and how many more there are."""
    if len(lines) <= most:
        return lines
    shown = lines[: max(0, most - 1)]
    return [*shown, [(f"and {len(lines) - len(shown)} more {what}", "dim")]]


def _fitted(line: Line, columns: int) -> Line:
    fitted: Line = []
    room = columns
    for text, style in line:
        shown = cut(text, room) if room > 0 else ""
        if shown:
            fitted.append((shown, style))
        room -= len(text)
    return fitted


def _last(values: Sequence[float | None]) -> float | None:
    return next((value for value in reversed(values) if value is not None), None)
