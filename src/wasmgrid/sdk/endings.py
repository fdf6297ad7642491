"""What is made of what a server says of a job: warnings, its whole output, errors where it was never built."""

from __future__ import annotations

import logging

from wasmgrid.core.outcome import OutcomeKind
from wasmgrid.core.printable import one_line
from wasmgrid.sdk import arrays, calls, views
from wasmgrid.sdk.failures import BuildFailed
from wasmgrid.sdk.steps import Steps

log = logging.getLogger("wasmgrid")


def warn(job: views.Job) -> None:
    """Pass on what the server said of a job that was just submitted: that no worker could ever run it, say.

    On the logger `wasmgrid`, whose warnings are on stderr where a program configures nothing.
    """
    for warning in job.warnings:
        log.warning("job %d: %s", job.id, one_line(warning))


def whole(task: views.Result) -> Steps[dict[str, bytes]]:
    """All that a task wrote to each stream, where its result holds only the beginning."""
    found = {}
    for stream, sha256 in (("stdout", task.stdout_sha256), ("stderr", task.stderr_sha256)):
        if sha256 is not None:
            found[stream] = yield calls.read(calls.output(task.job_id, stream, index=task.index))
    return found


def built(job: views.Job) -> Steps[None]:
    """Nothing, where a finished job was compiled; raises `BuildFailed` where its source was refused."""
    task = job.result
    if task is None and job.is_array and job.module_sha256 is None and job.counts.failed:
        page = yield arrays.tasks(job.id, failed=True, limit=1)
        task = page.tasks[0] if page.tasks else None
    if task is None or task.outcome != OutcomeKind.BUILD_FAILED:
        return
    said = job.build.diagnostics if job.build is not None else ""
    language = job.build.language if job.build is not None else None
    raise BuildFailed(task.message or "the source does not compile", job_id=job.id, diagnostics=said, language=language)
