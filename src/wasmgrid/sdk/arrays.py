"""Calls about many tasks and many jobs: results as they come, the tasks of an array, a run again, a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import msgspec

from wasmgrid.core.job import JobSpec
from wasmgrid.sdk import taskviews, views
from wasmgrid.sdk.multipart import given
from wasmgrid.sdk.ndjson import LineParser
from wasmgrid.sdk.request import Call, JobId, Stream, json_of, of_job, understood, waiting

T = TypeVar("T")

MOST_JOBS = 1000  # of one batch
MOST_AWAITED = 10_000  # jobs that one request waits for
PAGE = 1000  # tasks


def submit_batch(specs: Sequence[JobSpec], *, wait_s: float = 0.0) -> Call[taskviews.Batch]:
    """Submit up to `MOST_JOBS` jobs in one commit, or none where the request as a whole is refused.

    Safe to repeat where each has its idempotency key.
    """
    return Call(
        method="POST",
        path="/v1/jobs:batch",
        query=waiting(wait_s),
        body=b"[" + b",".join(map(given, specs)) + b"]",
        wait_s=wait_s,
        repeatable=all(spec.idempotency_key for spec in specs),
        decode=json_of(taskviews.Batch),
    )


def wait_any(job_ids: Sequence[int], *, wait_s: float) -> Call[taskviews.EndedJobs]:
    """Those of these jobs that are finished, when one is, or after `wait_s`; at most 100 of at most `MOST_AWAITED`."""
    return Call(
        method="POST",
        path="/v1/jobs:wait",
        query=waiting(wait_s),
        body=msgspec.json.encode(job_ids),
        wait_s=wait_s,
        decode=json_of(taskviews.EndedJobs),
    )


def tasks(
    job_id: JobId,
    *,
    failed: bool = False,
    outcome: str | None = None,
    limit: int = PAGE,
    cursor: str | int | None = None,
) -> Call[taskviews.TaskPage]:
    """Some tasks of a job that have ended, by index."""
    query = {"failed": _true(failed), "outcome": outcome, "limit": limit, "cursor": cursor}
    return Call(method="GET", path=of_job(job_id, "tasks"), query=query, decode=json_of(taskviews.TaskPage))


def task(job_id: JobId, index: int) -> Call[views.Result]:
    """How one task of a job ended; `NotFound` where it has not."""
    return Call(method="GET", path=of_job(job_id, "tasks", str(index)), decode=json_of(views.Result))


def results(
    job_id: JobId, kind: type[T], *, follow: bool = False, failed: bool = False, after: int | None = None
) -> Stream[T]:
    """Every task's result as a `kind`, in the order of their ends; while the job runs, where `follow`.

    `kind` is `views.Result`, or one of which the server sends no more than it holds: `taskviews.Printed`, `Value`.
    `after` is the last `seq` that a reader saw: what follows may begin with results that it has.
    """
    query = {
        "follow": _true(follow),
        "failed": _true(failed),
        "values": _true(issubclass(kind, taskviews.Value)),
        "lean": _true(issubclass(kind, taskviews.Printed)),
        "after": after,
    }
    return Stream(
        method="GET",
        path=of_job(job_id, "results"),
        query=query,
        parser=LineParser,
        decode=lambda line: understood(line, kind),
    )


def verbatim(stream: Stream[Any]) -> Stream[taskviews.Line]:
    """The same results as the server's own JSON: what is printed for programs."""
    return replace(stream, decode=_numbered)


def rerun(job_id: JobId, *, failed: bool = False, overrides: Mapping[str, Any] | None = None) -> Call[views.Job]:
    """Submit a job again (`failed`: only its tasks that did not succeed); `overrides` are keys of its request."""
    return Call(
        method="POST",
        path=of_job(job_id, "rerun"),
        query={"failed": _true(failed)},
        body=msgspec.json.encode(dict(overrides or {})),
        repeatable=False,
        decode=json_of(views.Job),
    )


def delete(job_id: JobId) -> Call[bool]:
    """Forget a finished job and all that it left; False where that is no longer, or not yet, possible."""
    return Call(method="DELETE", path=of_job(job_id), decode=lambda _: True, absent=False)


def _numbered(line: bytes) -> taskviews.Line:
    ended = understood(line, taskviews.Ended)
    return taskviews.Line(ended.index, ended.seq, line)


def _true(flag: bool) -> str | None:
    """A query's flag; left out where it is not set."""
    return "true" if flag else None
