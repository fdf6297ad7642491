"""Lists as columns of text. Pure; a terminal, a pipe and `awk` read the same."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from wasmgrid.cli import arraytext
from wasmgrid.cli.render import outcome, running_ms, when
from wasmgrid.cli.terminal import one_line
from wasmgrid.core.job import Artifact
from wasmgrid.core.units import format_bytes, format_ms
from wasmgrid.sdk.views import Credential, Job, Result, Why

_MOST_NAMES = 5
_SAID_WIDTH = 60

if TYPE_CHECKING:  # its package is the builder's
    from wasmgrid.build.doctor import ToolchainStatus


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, two spaces apart; no space at a line's end."""
    lines = [[one_line(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n" for line in lines
    )


def jobs(found: Sequence[Job], *, now: datetime) -> str:
    """Jobs, newest first."""
    rows = [
        [
            str(job.id),
            job.name or "-",
            job.state,
            outcome(job),
            _ran(job, now),
            age(job.submitted_at, now),
        ]
        for job in found
    ]
    return table(["ID", "NAME", "STATE", "OUTCOME", "RUN", "AGE"], rows)


def jobs_wide(found: Sequence[Job], *, now: datetime) -> str:
    """Jobs with what they are, where they ran, what they took, and why they are where they are."""
    rows = [
        [
            str(job.id),
            job.name or "-",
            job.state,
            outcome(job),
            (job.build.language if job.build is not None else None) or "-",
            f"{job.task_count:,}" if job.is_array else "-",
            (job.result.worker_id if job.result is not None else None) or "-",
            _ran(job, now),
            *_measured(job.result),
            when(job.submitted_at),
            job.state_reason or "-",
        ]
        for job in found
    ]
    header = ["ID", "NAME", "STATE", "OUTCOME", "LANGUAGE", "TASKS", "WORKER", "RUN", "CPU", "PEAK", "SUBMITTED", "WHY"]
    return table(header, rows)


def tasks(found: Sequence[Result], *, wide: bool = False) -> str:
    """Tasks by index, with what they gave or why they did not; `wide`: with their attempt, and all that was said."""
    rows = [
        [
            str(task.index),
            arraytext.outcome(task),
            arraytext.brief(task.stats.wall_ms) if task.stats.wall_ms else "-",
            *_measured(task),
            task.worker_id or "-",
            *([str(task.attempt), format_bytes(task.stdout_bytes)] if wide else []),
            _said(task, None if wide else _SAID_WIDTH),
        ]
        for task in found
    ]
    more = ["ATTEMPT", "OUTPUT"] if wide else []
    return table(["INDEX", "OUTCOME", "RUN", "CPU", "PEAK", "WORKER", *more, "SAID"], rows)


def _measured(task: Result | None) -> tuple[str, str]:
    """Cpu time and peak memory."""
    stats = task.stats if task is not None else None
    return (
        arraytext.brief(stats.cpu_ms) if stats is not None and stats.cpu_ms else "-",
        format_bytes(stats.peak_memory_bytes) if stats is not None and stats.peak_memory_bytes else "-",
    )


def _said(task: Result, most: int | None) -> str:
    """What it gave, why it ended, or the first line that it wrote."""
    if task.return_value is not None:
        text = json.dumps(task.return_value, ensure_ascii=False)
    else:
        text = task.stdout.partition("\n")[0] if task.succeeded else arraytext.why(task)
    return text if most is None or len(text) <= most else text[: most - 1] + "…"


def _ran(job: Job, now: datetime) -> str:
    if job.result is not None:
        return format_ms(job.result.stats.wall_ms) if job.result.stats.wall_ms else "-"
    return format_ms(running_ms(job, now)) if job.started_at else "-"


def toolchains(found: Sequence[ToolchainStatus], *, wide: bool = False) -> str:
    """Toolchains of this machine: what is there, and what an installation would take; `wide`: each one's identity."""
    rows = [
        [
            tool.language,
            tool.state + (" (your own)" if tool.users_own else ""),
            tool.version if tool.state != "builtin" else "-",
            installation(tool.download_mb, tool.install_s) if tool.state == "missing" else "-",
            format_bytes(tool.disk_bytes) if tool.disk_bytes else "-",
            *([tool.identity or "-", " ".join(tool.paths) or "-"] if wide else []),
        ]
        for tool in found
    ]
    more = ["IDENTITY", "PATHS"] if wide else []
    return table(["LANGUAGE", "STATE", "VERSION", "TO INSTALL", "DISK", *more], rows)


def installation(download_mb: int, install_s: int) -> str:
    """What installing a toolchain takes: `about 300 MB, 2 min`."""
    minutes = install_s / 60
    return f"about {download_mb} MB, " + (f"{minutes:.0f} min" if minutes >= 1.5 else f"{install_s} s")


def why(answer: Why) -> str:
    """Why a job is where it is, then the workers' reasons; those who say the same share a line."""
    said: dict[str, list[str]] = {}
    for worker in answer.workers:
        reasons = "; ".join(worker.mismatches) or "fits"
        change = f" · {_fitting(worker.change)}" if worker.change else ""
        said.setdefault(reasons + change, []).append(worker.worker_id)
    lines = [answer.reason or "no reason is known", *(f"  {_names(who)}: {text}" for text, who in said.items())]
    return "".join(one_line(line) + "\n" for line in lines)


def _fitting(change: str) -> str:
    """A command to type, or the flags with (or without) which the job would fit."""
    if change.startswith("wasmgrid "):
        return change
    return f"would fit {'' if change.startswith('without ') else 'with '}{change}"


def _names(workers: Sequence[str]) -> str:
    more = len(workers) - _MOST_NAMES
    return ", ".join(workers[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def credentials(found: Sequence[Credential], *, now: datetime, wide: bool = False) -> str:
    """Credentials, and whether they still count; `wide`: with their public keys."""
    rows = [
        [
            each.name,
            each.kind,
            "valid" if each.revoked_at is None else f"revoked {age(each.revoked_at, now)} ago",
            age(each.created_at, now),
            *([each.public_key] if wide else []),
        ]
        for each in found
    ]
    return table(["NAME", "KIND", "STATE", "AGE", *(["PUBLIC KEY"] if wide else [])], rows)


def artifacts(found: Sequence[Artifact], *, wide: bool = False) -> str:
    """Artifacts, by path; `wide`: to the byte."""
    shown = (lambda size: f"{size:,}") if wide else format_bytes
    return table(["PATH", "SIZE", "SHA256"], [[each.path, shown(each.bytes), each.sha256] for each in found])


def age(moment: datetime | None, now: datetime) -> str:
    """How long ago, in the largest unit that fits: `5s`, `12m`, `3h`, `2d`."""
    if moment is None:
        return "-"
    seconds = max(0, int((now - moment).total_seconds()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
