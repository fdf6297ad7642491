"""Lists of jobs: every filter alone and with others, every order, and pages that together are the whole."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from tests.conformance.samples import NOW, TENANT, Adapter, building_job, finished, job, result

from wasmgrid.core.job import StoredSpec
from wasmgrid.core.lifecycle import JobState
from wasmgrid.store import Store, listing
from wasmgrid.store.rows import JobQuery, JobSort

FAILED = frozenset({JobState.FAILED})


async def some_jobs(store: Store) -> None:
    """1..8: hello jobs of a module; 9, 10: of Rust. 1..6 have ended, in the order 2 4 6 1 3 5; odd ones failed."""
    term = await store.lead("s1")
    for number in range(1, 9):
        await store.submit(job(StoredSpec(name=f"Hello {number} 100%")))
    for _ in range(2):
        await store.submit(building_job())
    await store.submit(job(StoredSpec(name="Hello"), tenant="another"))
    for place, number in enumerate((2, 4, 6, 1, 3, 5)):
        state = JobState.FAILED if number % 2 else JobState.SUCCEEDED
        given = result(number, worker_id="w2" if number > 3 else "w1")
        await store.record(term, results=[given], finished=[finished(number, state, NOW + timedelta(seconds=place))])


async def numbers(store: Store, asked: JobQuery) -> list[int]:
    """All pages of it, one after the other."""
    found: list[int] = []
    while True:
        page = await store.list_jobs(TENANT, asked)
        assert len(page.jobs) <= asked.limit
        found += [row.id for row in page.jobs]
        if page.after is None:
            return found
        asked = JobQuery(**{name: getattr(asked, name) for name in asked.__struct_fields__} | {"after": page.after})


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_every_filter_and_order_over_pages_of_any_size(adapter: Adapter, limit: int) -> None:
    async def ask(store: Store) -> None:
        assert await numbers(store, JobQuery(limit=limit)) == []
        await some_jobs(store)

        async def found(**asked: object) -> list[int]:
            return await numbers(store, JobQuery(limit=limit, **asked))  # type: ignore[arg-type]

        assert await found() == [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]
        assert await found(sort=JobSort.OLDEST) == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
        assert await found(sort=JobSort.FINISHED) == [5, 3, 1, 6, 4, 2]
        assert await found(states=FAILED) == [5, 3, 1]
        assert await found(states=FAILED | {JobState.BUILDING}) == [10, 9, 5, 3, 1]
        assert await found(states=FAILED, sort=JobSort.FINISHED) == [5, 3, 1]
        assert await found(name="HELLO 1") == [1]
        assert await found(name="100%") == [8, 7, 6, 5, 4, 3, 2, 1]
        assert await found(name="1_0%") == []
        assert await found(name="hello", states=FAILED, sort=JobSort.OLDEST) == [1, 3, 5]
        assert await found(language="rust") == [10, 9]
        assert await found(language="RUST") == []
        assert await found(search="Rust") == [10, 9]
        assert await found(search="7") == [7]
        assert await found(search="3", states=FAILED, sort=JobSort.FINISHED) == [3]
        assert await found(search="3", states=frozenset({JobState.QUEUED})) == []
        assert await found(search="10") == [10, 8, 7, 6, 5, 4, 3, 2, 1]
        assert await found(worker="w2") == [6, 5, 4]
        assert await found(worker="w2", running=frozenset({8}), sort=JobSort.OLDEST) == [4, 5, 6, 8]
        assert await found(worker="w2", sort=JobSort.FINISHED, states=FAILED) == [5]
        assert await found(ids=frozenset({2, 3, 9, 77})) == [9, 3, 2]
        assert await found(ids=frozenset({2, 3, 9}), states=FAILED, sort=JobSort.OLDEST) == [3]

    adapter.run(ask)


def test_jobs_submitted_within_a_time(adapter: Adapter) -> None:
    async def ask(store: Store) -> None:
        await some_jobs(store)
        at = {row.id: row.submitted_at for row in (await store.list_jobs(TENANT, JobQuery())).jobs}
        for number in (1, 4, 10):
            later = sorted((id_ for id_ in at if at[id_] >= at[number]), reverse=True)
            earlier = sorted((id_ for id_ in at if at[id_] < at[number]), reverse=True)
            assert await numbers(store, JobQuery(since=at[number])) == later
            assert await numbers(store, JobQuery(until=at[number], limit=2)) == earlier
        future = datetime.now(UTC) + timedelta(days=1)
        assert await numbers(store, JobQuery(since=future)) == []
        assert len(await numbers(store, JobQuery(until=future, since=NOW))) == 10
        assert await numbers(store, JobQuery(until=NOW, sort=JobSort.FINISHED)) == []

    adapter.run(ask)


def test_a_search_is_cut_at_its_time_and_goes_on_where_it_was(
    adapter: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "SEARCH_S", -1.0)
    monkeypatch.setattr(listing, "WINDOW", 3)
    monkeypatch.setattr(listing, "ROWS", 3)

    async def ask(store: Store) -> None:
        await some_jobs(store)
        page = await store.list_jobs(TENANT, JobQuery(name="hello 1"))
        assert page.jobs == []
        assert page.cut
        assert page.after is not None
        for asked in (
            JobQuery(name="hello 1"),
            JobQuery(name="hello 1", sort=JobSort.OLDEST),
            JobQuery(search="hello 1", sort=JobSort.FINISHED),
        ):
            assert await numbers(store, asked) == [1]
        assert await numbers(store, JobQuery(worker="w2", limit=1)) == [6, 5, 4]

    adapter.run(ask)
