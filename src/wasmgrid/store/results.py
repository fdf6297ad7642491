"""What became of tasks: their results, once each, and the attempts that ended without one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import sqlalchemy as sa

from wasmgrid.core.job import Output, TaskResult
from wasmgrid.store.database import InsertNew
from wasmgrid.store.rows import DEFAULT_TENANT, EndedAttempt
from wasmgrid.store.schema import attempts, blob_refs, jobs, results

_encode = msgspec.msgpack.Encoder().encode

# Held against a prune by another server until what names these jobs is there.
_owners = (
    sa.select(jobs.c.id, jobs.c.tenant, jobs.c.task_count)
    .where(jobs.c.id.in_(sa.bindparam("job_ids", expanding=True)))
    .order_by(jobs.c.id)
    .with_for_update(read=True, key_share=True)
)


class Results:
    """Writes of results and ended attempts, as functions over a connection."""

    def __init__(self, insert_new: Callable[..., InsertNew]) -> None:
        self._insert = insert_new(results, results.c.job_id, results.c.task_index)
        self._insert_attempts = insert_new(attempts, attempts.c.attempt)
        self._insert_refs = insert_new(blob_refs, blob_refs.c.job_id)

    def record(
        self, connection: sa.Connection, given: Sequence[TaskResult], ended: Sequence[EndedAttempt]
    ) -> set[tuple[int, int]]:
        """Insert what is new; returns the (job, index) of those results. Words on unknown tasks are dropped."""
        ids = {result.job_id for result in given} | {attempt.id for attempt in ended if attempt.kind == "run"}
        owners = (
            {row.id: (row.tenant, row.task_count) for row in connection.execute(_owners, {"job_ids": list(ids)})}
            if ids
            else {}
        )
        rows = [
            _result_row(result, owners[result.job_id][0])
            for result in given
            if result.job_id in owners and 0 <= result.index < owners[result.job_id][1]
        ]
        fresh = {(row.job_id, row.task_index) for row in self._insert(connection, rows)} if rows else set()
        refs = [
            {"job_id": result.job_id, "sha256": sha256, "tenant": owners[result.job_id][0]}
            for result in given
            if (result.job_id, result.index) in fresh
            for sha256 in _named_blobs(result)
        ]
        if refs:
            self._insert_refs(connection, refs)
        if ended:
            self._insert_attempts(connection, [_attempt_row(attempt, owners) for attempt in ended])
        return fresh


def _result_row(result: TaskResult, tenant: str) -> dict[str, object]:
    packed = _encode(result)
    return {
        "job_id": result.job_id,
        "task_index": result.index,
        "tenant": tenant,
        "outcome": result.outcome.kind.value,
        "succeeded": result.outcome.succeeded,
        "result": packed,
        "bytes": len(packed)
        + sum(output.size for output in _large_outputs(result))
        + sum(artifact.bytes for artifact in result.artifacts),
    }


def _attempt_row(attempt: EndedAttempt, owners: dict[int, tuple[str, int]]) -> dict[str, object]:
    tenant = owners[attempt.id][0] if attempt.kind == "run" and attempt.id in owners else DEFAULT_TENANT
    return {
        "kind": attempt.kind,
        "subject_id": attempt.id,
        "task_index": attempt.index,
        "attempt": attempt.attempt,
        "tenant": tenant,
        "worker_id": attempt.worker_id,
        "reason": attempt.reason,
        "ended_at": attempt.ended_at,
        "counts_as_crash": attempt.counts_as_crash,
        "counts_as_retry": attempt.counts_as_retry,
    }


def _large_outputs(result: TaskResult) -> list[Output]:
    return [output for output in (result.stdout, result.stderr) if output.sha256 is not None]


def _named_blobs(result: TaskResult) -> set[str]:
    outputs = {output.sha256 for output in _large_outputs(result) if output.sha256 is not None}
    return outputs | {artifact.sha256 for artifact in result.artifacts}
