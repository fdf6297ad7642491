"""What `bench` measures of a grid: jobs one by one, an array, a function's calls; and how it leaves nothing behind."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from wasmgrid.cli.histogram import quantile
from wasmgrid.core.errors import WasmgridError
from wasmgrid.core.job import JobSpec
from wasmgrid.sdk import arrays, blobs, calls, steps
from wasmgrid.sdk.client import Client
from wasmgrid.sdk.views import Job

NAME = "wasmgrid bench"
CLEANING_S = 10.0
# (module (memory (export "memory") 1)
#   (func (export "_start"))
#   (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))
MODULE = (
    b"\0asm\1\0\0\0\1\n\2`\0\0`\2\x7f\x7f\1\x7f\3\3\2\0\1\5\3\1\0\1\x07\x19\3\6memory\2\0"
    b"\6_start\0\0\3add\0\1\n\x0c\2\2\0\x0b\7\0 \0 \1j\x0b"
)


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs one after the other, each from its submission until its result was here; `ms` are in order."""

    jobs: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    ms: list[float]


class Throughput(msgspec.Struct, frozen=True, kw_only=True):
    """Tasks of one array, from its submission to its end (or until there was no more time)."""

    tasks: int
    seconds: float
    per_second: float


class Bench:
    """Measures one grid through `client`; use it in a `with`: what it submitted is removed at the end."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._made: list[int] = []
        self._module = blobs.of_bytes(MODULE)

    def single(self, count: int, time_s: float, done: Callable[[int], None]) -> Latency:
        """Up to `count` jobs, within `time_s`; `done` is told how many were."""
        self._submit(wait_s=calls.WAIT_S)  # compiled, and in a cache, from here on
        ends_at = time.monotonic() + time_s
        took: list[float] = []
        while len(took) < count and (not took or time.monotonic() < ends_at):
            began = time.perf_counter()
            job = self._submit(wait_s=calls.WAIT_S)
            if not job.done:
                raise WasmgridError(f"job {job.id} took over {calls.WAIT_S:g} s", hint=f"why: wasmgrid why {job.id}")
            took.append((time.perf_counter() - began) * 1000)
            done(len(took))
        took.sort()
        p50, p90, p99 = (quantile(took, share) for share in (0.5, 0.9, 0.99))
        return Latency(jobs=len(took), p50_ms=p50, p90_ms=p90, p99_ms=p99, ms=took)

    def array(self, count: int, time_s: float, *, function: str | None, done: Callable[[int], None]) -> Throughput:
        """One array of `count` tasks, or of calls of a function, for `time_s` at most; `done` as above."""
        args = ["{index}", "1"] if function else []
        began = time.monotonic()
        job = self._submit(array=f"0-{count - 1}", function=function, args=args)
        while not job.done and time.monotonic() < began + time_s:
            job = self._client.send(calls.job(job.id, wait_s=min(0.5, time_s)))
            done(job.counts.ended)
        seconds = time.monotonic() - began
        if job.counts.failed:
            first = self._client.send(arrays.tasks(job.id, failed=True, limit=1)).tasks
            raise WasmgridError(f"task {first[0].index} of job {job.id} failed: {first[0].message or first[0].outcome}")
        ended = job.counts.ended
        return Throughput(tasks=ended, seconds=seconds, per_second=ended / seconds)

    def clean(self) -> None:
        """Cancel what still runs, and forget every job that this made; as far as the grid lets it, and in time."""
        ends_at = time.monotonic() + CLEANING_S
        for job_id in reversed(self._made):
            try:
                if not self._client.status(job_id).done:
                    self._client.cancel(job_id)
                    self._client.wait(job_id, timeout_s=max(0.0, ends_at - time.monotonic()))
                self._client.send(arrays.delete(job_id))
            except WasmgridError:
                continue  # it goes by age
            if time.monotonic() > ends_at:
                return

    def _submit(self, *, wait_s: float = 0.0, **fields: Any) -> Job:
        spec = JobSpec(module_sha256=self._module.sha256, name=NAME, memory_mb=16, disk_mb=1, **fields)
        job = self._client.perform(steps.submit(spec, {self._module.sha256: self._module}, wait_s=wait_s))
        self._made.append(job.id)
        return job


@contextmanager
def measuring(client: Client) -> Iterator[Bench]:
    """A `Bench` whose jobs are gone afterwards, whatever happens."""
    bench = Bench(client)
    try:
        yield bench
    finally:
        bench.clean()
