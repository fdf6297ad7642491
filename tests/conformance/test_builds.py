"""Builds: one per key, kept where they gave something or failed by their source's fault, else made again."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from tests.conformance.samples import (
    TENANT,
    Adapter,
    building_job,
    built,
    finished,
    new_build,
    not_built,
)

from wasmgrid.core.job import BuildResult
from wasmgrid.core.lifecycle import JobState
from wasmgrid.core.outcome import Outcome, OutcomeKind
from wasmgrid.store import Store, builds
from wasmgrid.store.rows import BuildState


def test_a_build_is_one_per_key_and_gives_its_module_to_jobs(adapter: Adapter) -> None:
    async def build(store: Store) -> None:
        term = await store.lead("s1")
        module, size = await store.blobs.put(b"\0asm module")
        jobs = [(await store.submit(building_job())).id for _ in range(3)]
        opened = await asyncio.gather(*(store.open_build(term, new_build()) for _ in range(20)))
        assert {row.id for row in opened} == {opened[0].id}
        row = opened[0]
        assert (row.state, row.source, row.module_sha256) == (BuildState.PENDING, new_build().source, None)

        await store.finish_build(term, built(row.id, module, size))
        done = await store.open_build(term, new_build())
        assert (done.id, done.state, done.module_sha256, done.module_bytes) == (row.id, BuildState.DONE, module, size)
        assert (done.diagnostics, done.build_ms, done.toolchain) == ("warning: unused\n", 812.5, "rust-1.90")
        kept = await store.module(module)
        assert kept is not None
        assert (kept.size, kept.kind) == (size, "core")

        await store.request_cancel(TENANT, jobs[2])
        await store.record(term, finished=[finished(jobs[2], JobState.CANCELLED)])
        await store.assign_module(term, jobs, module_sha256=module, build_id=row.id, cached=True)
        states = [await store.job(TENANT, job_id) for job_id in jobs]
        assert [given.state for given in states] == [JobState.QUEUED, JobState.QUEUED, JobState.CANCELLED]
        assert (states[0].module_sha256, states[0].build_id, states[0].build_cached) == (module, row.id, True)
        assert states[2].module_sha256 is None

        # The first word on a build stands, too.
        await store.finish_build(term, not_built(row.id))
        still = await store.build(row.id)
        assert still is not None
        assert still.state is BuildState.DONE

    adapter.run(build)


def test_a_failed_build_is_kept_and_a_rejected_one_is_not(adapter: Adapter) -> None:
    async def build(store: Store) -> None:
        term = await store.lead("s1")
        row = await store.open_build(term, new_build())
        for kind in (OutcomeKind.REJECTED, OutcomeKind.LOST, OutcomeKind.CANCELLED):
            await store.finish_build(term, not_built(row.id, kind))
            again = await store.open_build(term, new_build())
            assert (again.id, again.state, again.diagnostics) == (row.id, BuildState.PENDING, "")
        await store.finish_build(term, not_built(row.id))
        failed = await store.open_build(term, new_build())
        assert (failed.id, failed.state, failed.diagnostics) == (row.id, BuildState.FAILED, "error[E0425]")
        assert failed.message == "the source does not compile"

        job_id = (await store.submit(building_job())).id
        end = finished(job_id, JobState.FAILED, build_id=row.id, build_cached=True)
        await store.record(term, finished=[end])
        ended_job = await store.job(TENANT, job_id)
        assert (ended_job.build_id, ended_job.build_cached) == (row.id, True)

    adapter.run(build)


def test_hostile_17_a_build_whose_module_was_poisoned_is_built_again(adapter: Adapter) -> None:
    async def build(store: Store) -> None:
        term = await store.lead("s1")
        module, size = await store.blobs.put(b"\0asm good")
        row = await store.open_build(term, new_build())
        await store.finish_build(term, built(row.id, module, size))
        await adapter.damage(store, module, b"\0asm evil")  # of the same length
        reopened = await store.open_build(term, new_build())
        assert (reopened.id, reopened.state, reopened.module_sha256) == (row.id, BuildState.PENDING, None)
        await store.blobs.put(b"\0asm good")
        await store.finish_build(term, built(row.id, module, size))
        assert (await store.open_build(term, new_build())).state is BuildState.DONE

    adapter.run(build)


def test_a_failed_build_is_tried_again_after_a_while(adapter: Adapter, monkeypatch: pytest.MonkeyPatch) -> None:
    async def build(store: Store) -> None:
        term = await store.lead("s1")
        row = await store.open_build(term, new_build())
        refused = Outcome(kind=OutcomeKind.BUILD_FAILED, message="no")
        await store.finish_build(term, BuildResult(build_id=row.id, attempt=1, worker_id="w1", outcome=refused))
        assert (await store.open_build(term, new_build())).state is BuildState.FAILED
        monkeypatch.setattr(builds, "FAILURE_KEPT", timedelta(0))
        assert (await store.open_build(term, new_build())).state is BuildState.PENDING

    adapter.run(build)
