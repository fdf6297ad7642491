"""Who leads: one at a time, by the database's clock, and nobody who was superseded or gave it up."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from tests.conformance.samples import Adapter, job, result

from wasmgrid.core.errors import Superseded
from wasmgrid.store import Store
from wasmgrid.store.schema import leadership

NEVER_STALE_S = 3600.0


def test_nobody_leads_a_new_store(adapter: Adapter) -> None:
    async def look(store: Store) -> None:
        assert await store.leadership() is None
        with pytest.raises(Superseded, match="nobody leads"):
            await store.renew_leadership(1)
        await store.release_leadership(1)
        assert await store.leadership() is None

    adapter.run(look)


def test_who_leads_is_seen_by_all(adapter: Adapter) -> None:
    async def lead(store: Store) -> None:
        assert await store.try_lead("s1", stale_s=NEVER_STALE_S) == 1
        seen = await store.leadership()
        assert seen is not None
        assert (seen.term, seen.server_id, seen.released) == (1, "s1", False)
        assert 0 <= seen.age_s < 60
        assert await store.try_lead("s2", stale_s=NEVER_STALE_S) is None
        assert await store.try_lead("s1", stale_s=NEVER_STALE_S) is None  # a new life of it is another leader

    async def after_a_restart(store: Store) -> None:
        assert await store.try_lead("s2", stale_s=NEVER_STALE_S) is None
        await store.renew_leadership(1)

    adapter.run(lead)
    adapter.run(after_a_restart)


def test_who_does_not_renew_loses_it(adapter: Adapter) -> None:
    async def lapse(store: Store) -> None:
        term = await store.lead("s1")
        await asyncio.sleep(0.05)
        seen = await store.leadership()
        assert seen is not None
        assert seen.age_s >= 0.04
        await store.renew_leadership(term)
        assert await store.try_lead("s2", stale_s=NEVER_STALE_S) is None
        await asyncio.sleep(0.05)
        assert await store.try_lead("s2", stale_s=0.04) == term + 1
        for word in (
            store.renew_leadership(term),
            store.record(term, results=[result((await store.submit(job())).id)]),
        ):
            with pytest.raises(Superseded, match=rf"s2 leads in term {term + 1}"):
                await word
        await store.release_leadership(term)  # not its own any more
        assert await store.try_lead("s3", stale_s=NEVER_STALE_S) is None
        await store.renew_leadership(term + 1)

    adapter.run(lapse)


def test_what_was_given_up_is_free_at_once(adapter: Adapter) -> None:
    async def release(store: Store) -> None:
        term = await store.lead("s1")
        await store.release_leadership(term)
        seen = await store.leadership()
        assert seen is not None
        assert seen.released
        with pytest.raises(Superseded, match="gave it up"):
            await store.renew_leadership(term)
        with pytest.raises(Superseded, match="gave it up"):
            await store.record(term)
        assert await store.try_lead("s2", stale_s=NEVER_STALE_S) == term + 1
        again = await store.leadership()
        assert again is not None
        assert (again.server_id, again.released) == ("s2", False)

    adapter.run(release)


@pytest.mark.parametrize("hours", [-1, 1])
def test_hostile_70_the_clock_of_the_database_is_set_by_an_hour(adapter: Adapter, hours: int) -> None:
    async def jump(store: Store) -> None:
        term = await store.lead("s1")
        moved = sa.update(leadership).values(renewed_at=datetime.now(UTC) + timedelta(hours=hours))
        await store._writer.run(lambda connection: connection.execute(moved))
        await store.renew_leadership(term)  # who leads goes on
        assert await store.try_lead("s2", stale_s=60) is None
        await store._writer.run(lambda connection: connection.execute(moved))
        assert await store.try_lead("s2", stale_s=60) == term + 1  # who does not is replaced all the same

    adapter.run(jump)


def test_of_many_that_try_one_gets_it(adapter: Adapter) -> None:
    async def race(store: Store) -> None:
        for term in (1, 2):
            tries = await asyncio.gather(*(store.try_lead(f"s{i}", stale_s=NEVER_STALE_S) for i in range(20)))
            assert [given for given in tries if given is not None] == [term]
            await store.release_leadership(term)

    adapter.run(race)


def test_the_age_of_a_job_is_by_the_same_clock(adapter: Adapter) -> None:
    async def age(store: Store) -> None:
        began = time.monotonic()
        await store.submit(job())
        await asyncio.sleep(0.05)
        (found,) = await store.unfinished()
        assert 0.04 <= found.age_s <= time.monotonic() - began + 0.1

    adapter.run(age)
