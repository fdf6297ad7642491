"""Workers that are held, credentials that are given and revoked, and what a leader finds that it was not told."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from tests.conformance.samples import TENANT, Adapter, finished, finished_job, job, worker

from wasmgrid.core.errors import InvalidField, NotFound
from wasmgrid.store import Store
from wasmgrid.store.rows import CredentialRow, PrunePolicy
from wasmgrid.store.schema import workers

KEY = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"


def names(rows: list[CredentialRow]) -> list[tuple[str, bool]]:
    return [(row.name, row.revoked_at is None) for row in rows]


def test_a_held_worker_says_why(adapter: Adapter) -> None:
    async def hold(store: Store) -> None:
        term = await store.lead("s1")
        await store.save_worker(term, worker("w1"), "joined", hold="quarantined", note="3 tasks failed here\0 only")
        await store.save_worker(term, worker("w2"), "joined")

    async def after_a_restart(store: Store) -> None:
        first, second = await store.workers()
        assert (first.state, first.hold, second.hold, second.note) == ("joined", "quarantined", "", "")
        assert first.note.startswith("3 tasks failed here")
        await store.save_worker(await store.lead("s2"), worker("w1", "i2"), "left")
        first, _ = await store.workers()
        assert (first.state, first.hold, first.note, first.info) == ("left", "", "", worker("w1", "i2"))
        assert abs(first.changed_at - datetime.now(UTC)) < timedelta(minutes=5)

    adapter.run(hold)
    adapter.run(after_a_restart)


def test_workers_that_left_long_ago_are_forgotten_unless_they_are_held(adapter: Adapter) -> None:
    async def prune(store: Store) -> None:
        term = await store.lead("s1")
        for name, state, hold in (
            ("gone", "left", ""),
            ("lost", "lost", ""),
            ("here", "joined", ""),
            ("held", "left", "cordoned"),
        ):
            await store.save_worker(term, worker(name), state, hold=hold)
        month = PrunePolicy(grace_s=0)
        assert (await store.prune(month)).workers == 0
        old = sa.update(workers).values(changed_at=datetime.now(UTC) - timedelta(days=31))
        await store._writer.run(lambda connection: connection.execute(old))
        assert (await store.prune(PrunePolicy(grace_s=0, dry_run=True))).workers == 2
        assert (await store.prune(PrunePolicy(workers_age_s=None, grace_s=0))).workers == 0
        assert (await store.prune(month)).workers == 2
        assert [row.id for row in await store.workers()] == ["held", "here"]

    adapter.run(prune)


def test_a_credential_is_kept_until_it_is_revoked(adapter: Adapter) -> None:
    async def give(store: Store) -> None:
        assert await store.credentials() == []
        await store.add_credential("gpu-1", "worker", KEY)
        (row,) = await store.credentials()
        assert (row.name, row.kind, row.public_key, row.revoked_at) == ("gpu-1", "worker", KEY, None)
        assert abs(row.created_at - datetime.now(UTC)) < timedelta(minutes=5)

    async def revoke(store: Store) -> None:
        with pytest.raises(InvalidField, match="gpu-1 already") as taken:
            await store.add_credential("gpu-1", "server", KEY[::-1])
        assert (taken.value.field, "credential revoke gpu-1" in str(taken.value)) == ("name", True)
        with pytest.raises(InvalidField) as known:
            await store.add_credential("gpu-2", "worker", KEY)
        assert known.value.field == "public_key"
        with pytest.raises(NotFound, match="gpu-2"):
            await store.revoke_credential("gpu-2")
        await store.revoke_credential("gpu-1")
        with pytest.raises(NotFound):
            await store.revoke_credential("gpu-1")
        with pytest.raises(InvalidField):  # a key that was revoked never comes back
            await store.add_credential("gpu-1", "worker", KEY)
        await store.add_credential("gpu-1", "worker", KEY[::-1])
        assert names(await store.credentials()) == [("gpu-1", False), ("gpu-1", True)]

    adapter.run(give)
    adapter.run(revoke)


def test_of_many_that_want_a_name_one_gets_it(adapter: Adapter) -> None:
    async def race(store: Store) -> None:
        given = await asyncio.gather(
            *(store.add_credential("w", "worker", f"{KEY}{at}") for at in range(5)), return_exceptions=True
        )
        assert [answer for answer in given if answer is None] == [None]
        assert names(await store.credentials()) == [("w", True)]

    adapter.run(race)


@pytest.mark.parametrize(
    ("name", "kind", "key", "field"),
    [
        ("a.b", "worker", KEY, "name"),
        (">", "worker", KEY, "name"),
        ("", "worker", KEY, "name"),
        ("w:2", "worker", KEY, "name"),
        ("w", "admin", KEY, "kind"),
        ("w", "worker", "", "public_key"),
        ("w", "worker", 'X"}], permissions: {', "public_key"),
        ("w", "worker", "U" * 65, "public_key"),
    ],
)
def test_hostile_52_what_cannot_be_a_credential(adapter: Adapter, name: str, kind: str, key: str, field: str) -> None:
    async def give(store: Store) -> None:
        with pytest.raises(InvalidField) as refused:
            await store.add_credential(name, kind, key)
        assert refused.value.field == field
        assert await store.credentials() == []

    adapter.run(give)


def test_a_leader_finds_what_no_notice_told_it(adapter: Adapter) -> None:
    async def sweep(store: Store) -> None:
        term = await store.lead("s1")
        over = await finished_job(store, term)
        ids = [(await store.submit(job(tenant=tenant))).id for tenant in (TENANT, "other", TENANT)]
        await store.request_cancel("other", ids[1])
        assert await store.open_ids(after_id=0, limit=100) == [(ids[0], False), (ids[1], True), (ids[2], False)]
        assert await store.open_ids(after_id=ids[0], limit=1) == [(ids[1], True)]
        assert await store.ended([over, *ids, 10**9]) == {over, 10**9}
        await store.record(term, finished=[finished(ids[0])])
        assert await store.ended(ids) == {ids[0]}
        assert await store.ended([]) == set()

    adapter.run(sweep)
