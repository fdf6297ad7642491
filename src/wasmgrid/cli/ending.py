"""How a finished job is told: what went wrong, then the one line of what it took."""

from __future__ import annotations

import sys

from wasmgrid.cli import arraytext, render
from wasmgrid.cli.terminal import say, wants_colour
from wasmgrid.core.errors import WasmgridError
from wasmgrid.sdk import arrays
from wasmgrid.sdk.client import Client
from wasmgrid.sdk.views import Job, Result

_SOME = 1000  # failed tasks that are looked at


def tell(job: Job, connection: Client) -> int:
    """Say on stderr how `job` went; returns what a command that waited for it exits with."""
    failed = _failed(job, connection) if job.is_array else [job.result] if job.result is not None else []
    if any(task.outcome == "build_failed" for task in failed) and job.build is not None:
        sys.stderr.write(render.diagnostics(job.build.diagnostics, colour=wants_colour(sys.stderr)))
    for line in render.failure(job):
        say(line)
    if job.is_array:
        say(arraytext.summary(job))
        for line in arraytext.failures(job, failed):
            say(line)
    else:
        say(render.summary(job))
    return job.process_exit_code


def _failed(job: Job, connection: Client) -> list[Result]:
    """Some of the tasks that failed; none where they cannot be had now."""
    if not job.counts.failed:
        return []
    try:
        return connection.send(arrays.tasks(job.id, failed=True, limit=_SOME)).tasks
    except WasmgridError:
        return []
