"""Many submissions in one commit: each is kept or refused for itself."""

from __future__ import annotations

import asyncio

from tests.conformance.samples import MODULE, TENANT, Adapter, RowAdapter, building_job, job
from tests.store.commits import count_commits

from wasmgrid.core.errors import IdempotencyConflict, InvalidField
from wasmgrid.core.job import Lines, StoredSpec
from wasmgrid.core.lifecycle import JobState
from wasmgrid.store import Store
from wasmgrid.store.rows import PrunePolicy, Submitted


def test_each_of_many_is_kept_or_refused_for_itself(adapter: Adapter) -> None:
    async def submit(store: Store) -> None:
        before = await store.submit(job(idempotency_key="old", request_sha256="1" * 64))
        answers = await store.submit_many(
            [
                job(StoredSpec(name="a", module_sha256=MODULE)),
                job(idempotency_key="old", request_sha256="1" * 64),
                job(idempotency_key="old", request_sha256="2" * 64),
                job(idempotency_key="new", request_sha256="3" * 64),
                job(state=JobState.RUNNING),
                job(StoredSpec(name="\ud800")),
                job(idempotency_key="new", request_sha256="3" * 64),
                job(idempotency_key="new", request_sha256="4" * 64),
                job(StoredSpec(array="9-0", module_sha256=MODULE)),
                building_job(),
            ]
        )
        kinds = [type(answer) for answer in answers]
        assert kinds == [
            *(Submitted, Submitted, IdempotencyConflict, Submitted, InvalidField),
            *(InvalidField, Submitted, IdempotencyConflict, InvalidField, Submitted),
        ]
        kept = {at: answer for at, answer in enumerate(answers) if isinstance(answer, Submitted)}
        assert [kept[at].existing for at in (0, 1, 3, 6, 9)] == [False, True, False, True, False]
        assert kept[1].id == before.id
        assert kept[6].id == kept[3].id
        rows = await store.jobs(TENANT)
        assert [row.id for row in rows] == sorted({answer.id for answer in kept.values()}, reverse=True)
        assert (await store.job(TENANT, kept[0].id)).name == "a"
        assert (await store.job(TENANT, kept[9].id)).state is JobState.BUILDING
        assert await store.submit_many([]) == []

    adapter.run(submit)


def test_a_thousand_are_one_commit(adapter: Adapter) -> None:
    async def submit(store: Store) -> None:
        commits = count_commits(store._requests)
        answers = await store.submit_many([job(StoredSpec(name=f"{at}", module_sha256=MODULE)) for at in range(1000)])
        assert len(commits) == 1
        ids = [answer.id for answer in answers if isinstance(answer, Submitted)]
        assert ids == sorted(set(ids))
        assert len(ids) == 1000
        assert {row.id: row.name for row in await store.jobs(TENANT, limit=1000)} == {
            id_: f"{at}" for at, id_ in enumerate(ids)
        }

    adapter.run(submit)


def test_submitters_share_commits(adapter: Adapter) -> None:
    async def submit(store: Store) -> None:
        commits = count_commits(store._requests)
        answers = await asyncio.gather(*(store.submit(job()) for _ in range(64)))
        assert len({answer.id for answer in answers}) == 64
        assert len(commits) < 10

    adapter.run(submit)


def test_the_lines_of_an_array_stay_as_long_as_it_does(adapter: Adapter) -> None:
    async def submit(store: Store) -> None:
        sha256, _ = await store.blobs.put(b"one\ntwo\n")
        spec = StoredSpec(array="0-1", lines=Lines(sha256=sha256, count=2), module_sha256=MODULE)
        await store.submit_many([job(spec, task_count=2)])
        await adapter.age(store, sha256, 1e9)
        await store.prune(PrunePolicy(results_age_s=0, grace_s=0))
        assert await store.blobs.size(sha256) == 8

    adapter.run(submit)


def test_keys_of_two_servers_in_batches_at_once(shared: RowAdapter) -> None:
    async def race(one: Store, other: Store) -> None:
        given = [job(idempotency_key=f"{at % 10}", request_sha256="1" * 64) for at in range(40)]
        answers = await asyncio.gather(
            *(store.submit_many(given[at:] + given[:at]) for store in (one, other) for at in range(5))
        )
        found = [each for some in answers for each in some]
        assert all(isinstance(each, Submitted) for each in found)
        assert len({each.id for each in found if isinstance(each, Submitted)}) == 10
        assert sum(isinstance(each, Submitted) and not each.existing for each in found) == 10

    shared.run_two(race)
