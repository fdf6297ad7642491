"""What takes more than one call, written once for the sync and the async client.

A `Steps` yields calls (and pauses between them) and is sent their answers; a call's error is thrown in where it can be
dealt with. So the order of calls is here, and how they are sent is the clients' affair.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, TypeVar

import msgspec

from wasmgrid.core.errors import InputNotFound, ModuleNotFound, Unreachable, WasmgridError
from wasmgrid.core.job import JobSpec
from wasmgrid.sdk import arrays, calls, views
from wasmgrid.sdk.blobs import Blob
from wasmgrid.sdk.calls import Call, JobId
from wasmgrid.sdk.multipart import given
from wasmgrid.sdk.problems import Problem, error_named
from wasmgrid.sdk.servers import AWAY, NotAsked
from wasmgrid.sdk.taskviews import Batch, Submitted

T = TypeVar("T")

RECONNECT_S = 30.0  # how long a server may be gone before whoever waits through it gives up
PAUSE_S = 0.25


@dataclass(frozen=True)
class Pause:
    """Not a call: go on after so many seconds."""

    seconds: float


Step = Call[Any] | Pause
Steps = Generator[Step, Any, T]

_BATCH_BYTES = 16 << 20  # of requests in one body; a server takes 24 MiB


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


def keyed(spec: JobSpec) -> JobSpec:
    """The request with a key, by which it is found again however often it is sent."""
    if spec.idempotency_key is not None:
        return spec
    return msgspec.structs.replace(spec, idempotency_key=os.urandom(16).hex())


def begin(spec: JobSpec, blobs: Mapping[str, Blob], *, wait_s: float) -> Steps[views.Job]:
    """Submit; the job when it is finished, or as it is after `wait_s`.

    A server that goes while it holds the request may come back: under its key (`keyed`) it is the same job.
    """
    patience = Patience()
    asked = False
    while True:
        try:
            return (yield from submit(spec, blobs, wait_s=wait_s))
        except Unreachable as error:
            asked = asked or not isinstance(error, NotAsked)
            if not asked:
                raise
            yield patience.after(error)


def outlast(job_id: int) -> Steps[views.Job]:
    """The job when it is finished, through servers that are gone for a while."""
    patience = Patience(job_id)
    while True:
        try:
            job: views.Job = yield calls.job(job_id, wait_s=calls.WAIT_S)
        except AWAY as error:
            yield patience.after(error)
            continue
        patience.heard()
        if job.done:
            return job


def abandon(spec: JobSpec) -> Steps[None]:
    """End the job of a request that was sent, and whose answer nobody waited for."""
    with contextlib.suppress(WasmgridError):  # there may be no such job
        job = yield calls.submit(spec)
        if not job.done:
            yield calls.cancel(job.id)


class Patience:
    """For how long a server may be away before `after` raises the error instead of naming a pause."""

    def __init__(self, job_id: int | None = None, seconds: float = RECONNECT_S) -> None:
        self._job_id = job_id
        self._seconds = seconds
        self._lost_at: float | None = None

    def heard(self) -> None:
        """The server said something: it is there."""
        self._lost_at = None

    def after(self, error: WasmgridError) -> Pause:
        """How long to wait before the server is asked again."""
        now = monotonic()
        self._lost_at = now if self._lost_at is None else self._lost_at
        if now - self._lost_at > self._seconds:
            again = "" if self._job_id is None else f" · come back: client.job({self._job_id})"
            raise Unreachable(error.message, hint=f"the job goes on where its grid does{again}") from error
        return Pause(PAUSE_S)


def _upload_inputs(spec: JobSpec, blobs: Mapping[str, Blob]) -> Steps[None]:
    named = [each.sha256 for each in spec.inputs] + ([spec.lines.sha256] if spec.lines is not None else [])
    for sha256 in named:
        blob = blobs.get(sha256)
        if blob is not None and not (yield calls.has_blob("inputs", blob.sha256)):
            yield calls.put_blob("inputs", blob)


def submit_many(specs: Sequence[JobSpec], blobs: Mapping[str, Blob]) -> Steps[list[Submitted]]:
    """Submit many jobs, up to 1,000 in one commit; each is a job, or the error for which it was not taken."""
    found: list[Submitted] = []
    for some in _batches([keyed(spec) for spec in specs]):
        found += yield from _submit_batch(some, blobs)
    return found


def _submit_batch(specs: Sequence[JobSpec], blobs: Mapping[str, Blob]) -> Steps[list[Submitted]]:
    """One batch; those for which bytes were missing go again by themselves, with their bytes."""
    answer: Batch = yield arrays.submit_batch(specs)
    found: list[Submitted] = []
    for spec, item in zip(specs, answer.jobs, strict=True):
        error = _error_of(item.error)
        if item.job is not None:
            found.append(item.job)
        elif isinstance(error, ModuleNotFound | InputNotFound) and blobs:
            found.append((yield from _alone(spec, blobs)))
        else:
            found.append(error)
    return found


def _alone(spec: JobSpec, blobs: Mapping[str, Blob]) -> Steps[Submitted]:
    try:
        return (yield from submit(spec, blobs))
    except WasmgridError as error:
        return error


def _batches(specs: Sequence[JobSpec]) -> Iterator[list[JobSpec]]:
    """Neither too many nor too large for one body."""
    some: list[JobSpec] = []
    size = 0
    for spec in specs:
        weight = len(given(spec))
        if some and (len(some) == arrays.MOST_JOBS or size + weight > _BATCH_BYTES):
            yield some
            some, size = [], 0
        some.append(spec)
        size += weight
    if some:
        yield some


def _error_of(problem: Problem | None) -> WasmgridError:
    said = problem or Problem()
    message = said.detail or said.title or "the server did not say why"
    return error_named(said.code or "internal", message, hint=said.hint, field=said.field)
