"""How a finished job is told: what went wrong, then the one line of what it took."""

from __future__ import annotations

import sys

from wasmgrid.cli import render
from wasmgrid.cli.terminal import say, wants_colour
from wasmgrid.sdk.views import Job


def tell(job: Job) -> int:
    """Say on stderr how `job` went; returns what a command that waited for it exits with."""
    result = job.result
    if result is not None and result.outcome == "build_failed" and job.build is not None:
        sys.stderr.write(render.diagnostics(job.build.diagnostics, colour=wants_colour(sys.stderr)))
    for line in render.failure(job):
        say(line)
    say(render.summary(job))
    return job.process_exit_code
