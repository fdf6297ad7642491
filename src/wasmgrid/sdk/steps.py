"""What takes more than one call, written once for the sync and the async client.

A `Steps` yields calls and is sent their answers; a call's error is thrown in where it can be dealt with. So the order
of calls is here, and how they are sent is the clients' affair.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from time import monotonic
from typing import Any, TypeVar

from wasmgrid.core.errors import InputNotFound, ModuleNotFound
from wasmgrid.core.job import JobSpec
from wasmgrid.sdk import calls, views
from wasmgrid.sdk.blobs import Blob
from wasmgrid.sdk.calls import Call, JobId

T = TypeVar("T")
Steps = Generator[Call[Any], Any, T]


def submit(spec: JobSpec, blobs: Mapping[str, Blob], *, wait_s: float = 0.0) -> Steps[views.Job]:
    """Submit by digest; upload what the server turns out to lack; submit again. Most submissions are one call."""
    call = calls.submit(spec, wait_s=wait_s)
    for _ in range(2):  # a module and inputs may both be missing
        try:
            job: views.Job = yield call
        except ModuleNotFound:
            module = blobs.get(spec.module_sha256 or "")
            if module is None:
                raise
            yield calls.put_blob("modules", module)
        except InputNotFound:
            yield from _upload_inputs(spec, blobs)
        else:
            return job
    last: views.Job = yield call
    return last


def wait(job_id: JobId, timeout_s: float | None) -> Steps[views.Job]:
    """The job when it is finished, or as it is after `timeout_s` (None: however long it takes)."""
    ends_at = None if timeout_s is None else monotonic() + timeout_s
    while True:
        left = calls.WAIT_S if ends_at is None else min(calls.WAIT_S, ends_at - monotonic())
        job: views.Job = yield calls.job(job_id, wait_s=max(left, 0.0))
        if job.done or (ends_at is not None and monotonic() >= ends_at):
            return job
        job_id = job.id  # `last` may be another one by now


def _upload_inputs(spec: JobSpec, blobs: Mapping[str, Blob]) -> Steps[None]:
    for given in spec.inputs:
        blob = blobs.get(given.sha256)
        if blob is not None and not (yield calls.has_blob("inputs", blob.sha256)):
            yield calls.put_blob("inputs", blob)
