"""Two servers with one store: what either does holds for both, and neither stands in the other's way for long."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import sqlalchemy as sa
from tests.conformance.samples import MODULE, TENANT, RowAdapter, finished, finished_job, job, result

from wasmgrid.core.errors import IdempotencyConflict, Superseded, Unavailable
from wasmgrid.core.job import Input, StoredSpec
from wasmgrid.core.ranges import Ranges
from wasmgrid.store import Store
from wasmgrid.store.postgres import IDLE_MS
from wasmgrid.store.rows import PrunePolicy
from wasmgrid.store.schema import jobs

EVERYTHING = PrunePolicy(results_age_s=0, builds_age_s=0, grace_s=0)


@asynccontextmanager
async def held(store: Store, term: int) -> AsyncIterator[asyncio.Task[bool]]:
    """A transaction of the leader that began, saw that it leads, and does not end before the block does."""
    gate, begun = threading.Event(), threading.Event()

    def hold(connection: sa.Connection) -> bool:
        store._leaderships.check(connection, term)
        begun.set()
        return gate.wait(60)

    task = asyncio.create_task(store._writer.run(hold))
    try:
        assert await asyncio.to_thread(begun.wait, 60)
        yield task
    finally:
        gate.set()


def test_of_two_servers_one_leads(shared: RowAdapter) -> None:
    async def race(one: Store, other: Store) -> None:
        for term in range(1, 11):
            given = await asyncio.gather(one.try_lead("one", stale_s=3600), other.try_lead("other", stale_s=3600))
            assert sorted(given, key=bool) == [None, term]
            seen = await (other if given[0] else one).leadership()
            assert seen is not None
            assert (seen.term, seen.server_id) == (term, "one" if given[0] else "other")
            await other.release_leadership(term)

    shared.run_two(race)


def test_a_take_over_waits_for_what_the_leader_is_writing(shared: RowAdapter) -> None:
    async def take_over(one: Store, other: Store) -> None:
        term = await one.lead("one")
        job_id = (await one.submit(job())).id
        async with held(one, term) as writing:
            taking = asyncio.create_task(other.lead("other"))
            await asyncio.sleep(0.3)
            assert not taking.done()
        assert await writing
        assert await taking == term + 1
        with pytest.raises(Superseded, match="other leads"):
            await one.record(term, results=[result(job_id)])
        with pytest.raises(Superseded, match="other leads"):
            await one.renew_leadership(term)

    shared.run_two(take_over)


def test_hostile_61_a_leader_that_stands_still_in_mid_write_is_superseded(shared: RowAdapter) -> None:
    async def freeze(one: Store, other: Store) -> None:
        term = await one.lead("one")
        async with held(one, term) as writing:
            began = time.monotonic()
            assert await other.lead("other") == term + 1
            assert time.monotonic() - began > IDLE_MS / 1000 / 2
        with pytest.raises((Superseded, Unavailable)):  # its transaction is gone, and so is its term
            await writing
        with pytest.raises(Superseded):
            await one.record(term)

    shared.run_two(freeze)


def test_nothing_is_recorded_after_a_take_over_returned(shared: RowAdapter) -> None:
    async def flow(one: Store, other: Store) -> None:
        term = await one.lead("one")
        job_id = (await one.submit(job(task_count=100_000))).id
        acknowledged: set[int] = set()
        many = asyncio.Event()

        async def record() -> None:
            for at in itertools.count():
                if not await one.record(term, results=[result(job_id, at)]):
                    acknowledged.add(at)
                if at == 50:
                    many.set()

        lanes = [asyncio.create_task(record()) for _ in range(4)]
        await many.wait()
        await other.lead("other")
        (seen,) = await other.unfinished()
        for answer in await asyncio.gather(*lanes, return_exceptions=True):
            assert isinstance(answer, Superseded)
        (later,) = await other.unfinished()
        assert seen.done == later.done
        assert acknowledged == set(Ranges(seen.done))

    shared.run_two(flow)


def test_hostile_57_one_key_at_two_servers_at_once(shared: RowAdapter) -> None:
    async def race(one: Store, other: Store) -> None:
        for key in ("a", "b", "c"):
            given = job(idempotency_key=key, request_sha256="1" * 64)
            answers = await asyncio.gather(*(store.submit(given) for store in (one, other) * 50))
            assert len({answer.id for answer in answers}) == 1
            assert len({answer.submitted_at for answer in answers}) == 1
            assert sum(not answer.existing for answer in answers) == 1
        assert len(await one.jobs(TENANT)) == 3

    shared.run_two(race)


def test_hostile_58_one_key_with_two_bodies_at_two_servers_at_once(shared: RowAdapter) -> None:
    async def race(one: Store, other: Store) -> None:
        bodies = {one: "1" * 64, other: "2" * 64}
        answers = await asyncio.gather(
            *(store.submit(job(idempotency_key="k", request_sha256=bodies[store])) for store in (one, other) * 20),
            return_exceptions=True,
        )
        conflicts = [isinstance(answer, IdempotencyConflict) for answer in answers]
        assert conflicts in ([False, True] * 20, [True, False] * 20)
        assert len(await one.jobs(TENANT)) == 1

    shared.run_two(race)


def test_hostile_59_a_key_used_again_at_another_server(shared: RowAdapter) -> None:
    async def again(one: Store, other: Store) -> None:
        given = job(idempotency_key="k", request_sha256="1" * 64)
        first = await finished_job(one, await one.lead("one"), given)
        answer = await other.submit(given)
        assert (answer.id, answer.existing) == (first, True)

    shared.run_two(again)


def test_transactions_that_stand_in_each_others_way_are_run_again(shared: RowAdapter) -> None:
    async def cross(one: Store, other: Store) -> None:
        ids = [(await one.submit(job())).id for _ in range(2)]
        met, runs = threading.Barrier(2), Counter[str]()

        def rename(order: list[int], name: str, connection: sa.Connection) -> str:
            runs[name] += 1
            connection.execute(sa.update(jobs).where(jobs.c.id == order[0]).values(name=name))
            if runs[name] == 1:
                met.wait(30)
            connection.execute(sa.update(jobs).where(jobs.c.id == order[1]).values(name=name))
            return name

        said = await asyncio.gather(
            one._writer.run(lambda connection: rename(ids, "one", connection)),
            other._writer.run(lambda connection: rename(ids[::-1], "other", connection)),
        )
        assert list(said) == ["one", "other"]
        assert sorted(runs.values()) == [1, 2]
        assert len({row.name for row in await one.jobs(TENANT)}) == 1

    shared.run_two(cross)


def test_a_blob_is_every_servers(shared: RowAdapter) -> None:
    data = bytes(range(256)) * 5000

    async def exchange(one: Store, other: Store) -> None:
        puts = [store.blobs.put(data) for store in (one, other) * 5]
        ((sha256, size),) = set(await asyncio.gather(*puts))
        for store in (one, other):
            assert await store.blobs.size(sha256) == size
            assert await store.blobs.read(sha256, 300_000, 600_000) == data[300_000:900_000]
        assert (await other.prune(EVERYTHING)).blobs == 1
        assert await one.blobs.size(sha256) is None
        await one.blobs.put(data)
        assert await other.blobs.read(sha256) == data

    shared.run_two(exchange)


def test_both_prune_while_both_are_used(shared: RowAdapter) -> None:
    async def use(one: Store, other: Store) -> None:
        term = await one.lead("one")

        async def submit(store: Store, lane: int) -> None:
            for at in range(15):
                sha256, _ = await store.blobs.put(b"%d %d" % (lane, at % 4))
                spec = StoredSpec(name="x", inputs=[Input(path="/in/x", sha256=sha256)])
                job_id = (await store.submit(job(spec, module_sha256=MODULE))).id
                await one.record(term, results=[result(job_id)], finished=[finished(job_id)])
                late = await one.record(term, results=[result(job_id)])  # maybe of one that is gone
                assert late == {job_id: Ranges([(0, 1)])}

        async def prune(store: Store) -> int:
            return sum([(await store.prune(EVERYTHING)).jobs for _ in range(15)])

        async with asyncio.TaskGroup() as tasks:
            for lane, store in enumerate((one, other, one, other)):
                tasks.create_task(submit(store, lane))
            pruned = [tasks.create_task(prune(store)) for store in (one, other)]
        left = (await one.prune(EVERYTHING)).jobs
        assert left + sum(task.result() for task in pruned) == 60
        assert await other.jobs(TENANT) == []

    shared.run_two(use)
