"""Forgetting one job: it goes with all that hangs on it, once it is finished, and no other does."""

from __future__ import annotations

import pytest
from tests.conformance.samples import TENANT, Adapter, finished, finished_job, job, result

from wasmgrid.core.errors import InvalidField, JobNotFound
from wasmgrid.store import Store


def test_a_finished_job_is_forgotten(adapter: Adapter) -> None:
    async def story(store: Store) -> None:
        term = await store.lead("s1")
        kept, gone = [await finished_job(store, term) for _ in range(2)]
        await store.forget(TENANT, gone)
        with pytest.raises(JobNotFound):
            await store.job(TENANT, gone)
        assert await store.result(TENANT, gone) is None
        assert [row.id for row in await store.jobs(TENANT)] == [kept]
        assert await store.result(TENANT, kept) is not None

    adapter.run(story)


def test_what_runs_and_what_is_another_tenants_stays(adapter: Adapter) -> None:
    async def story(store: Store) -> None:
        term = await store.lead("s1")
        job_id = (await store.submit(job())).id
        with pytest.raises(InvalidField, match="has not ended yet"):
            await store.forget(TENANT, job_id)
        await store.record(term, results=[result(job_id)], finished=[finished(job_id)])
        with pytest.raises(JobNotFound):
            await store.forget("somebody-else", job_id)
        assert (await store.job(TENANT, job_id)).finished_at is not None

    adapter.run(story)
