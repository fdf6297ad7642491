"""What an overview asks of the store: jobs by state, workers that were lost of late."""

from __future__ import annotations

from datetime import timedelta

from tests.conformance.samples import TENANT, Adapter, building_job, finished, finished_job, job, result, worker

from wasmgrid.core.lifecycle import JobState
from wasmgrid.core.outcome import exited
from wasmgrid.store import Store


def test_jobs_are_counted_by_the_state_that_is_kept_of_them(adapter: Adapter) -> None:
    async def ask(store: Store) -> None:
        assert await store.jobs_by_state(TENANT) == {}
        term = await store.lead("s1")
        await store.submit(building_job())
        await store.submit(job())
        await store.submit(job(tenant="another"))
        await finished_job(store, term)
        failed = (await store.submit(job())).id
        end = finished(failed, JobState.FAILED)
        await store.record(term, results=[result(failed, outcome=exited(1))], finished=[end])
        assert await store.jobs_by_state(TENANT) == {
            JobState.BUILDING: 1,
            JobState.QUEUED: 1,
            JobState.SUCCEEDED: 1,
            JobState.FAILED: 1,
        }

    adapter.run(ask)


def test_workers_that_were_lost_count_for_a_while(adapter: Adapter) -> None:
    async def ask(store: Store) -> None:
        term = await store.lead("s1")
        await store.save_worker(term, worker("w1"), "joined")
        await store.save_worker(term, worker("w2"), "lost")
        assert await store.workers_lost(timedelta(hours=1)) == 1
        assert await store.workers_lost(timedelta(0)) == 0
        await store.save_worker(term, worker("w2"), "joined")
        assert await store.workers_lost(timedelta(hours=1)) == 0

    adapter.run(ask)
