"""The jobs port: what is submitted is kept, numbered, found and listed as it was given."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from tests.conformance.samples import MODULE, TENANT, Adapter, building_job, finished_job, job, result

from wasmgrid.core.errors import IdempotencyConflict, InvalidField, JobNotFound
from wasmgrid.core.job import Input, StoredSpec
from wasmgrid.core.lifecycle import JobState
from wasmgrid.store import Store

HOSTILE_TEXTS = [
    "'; DROP TABLE jobs; --",
    '"; DELETE FROM results; --',
    "%' OR '1'='1",
    "100% _sure_ \\ /",
    "nul \0 inside",
    ":name ?1 $1 {x} %(y)s",
    "\N{SNOWMAN} \u202e \U0001f980",
    "{{7*7}} ${jndi:x}",
]


def test_a_job_comes_back_as_it_was_given(adapter: Adapter) -> None:
    spec = StoredSpec(
        name="sleep",
        module_sha256=MODULE,
        args=["a", ""],
        env={"K": "V"},
        inputs=[Input(path="/in/x", sha256="1" * 64)],
        cpus=0.5,
        require={"arch": "arm64"},
        fuel=(1 << 63) - 1,
    )

    async def submit(store: Store) -> None:
        before = datetime.now(UTC) - timedelta(milliseconds=1)  # a database's clock may count no finer
        submitted = await store.submit(job(spec))
        assert (submitted.id, submitted.existing) == (1, False)
        row = await store.job(TENANT, 1)
        assert before <= row.submitted_at == submitted.submitted_at <= datetime.now(UTC) + timedelta(milliseconds=1)
        assert (row.spec, row.name, row.state, row.module_sha256) == (spec, "sleep", JobState.QUEUED, MODULE)
        assert (row.started_at, row.finished_at, row.cancel_requested_at, row.message) == (None, None, None, "")

    async def look_again(store: Store) -> None:
        assert (await store.job(TENANT, 1)).spec == spec
        assert (await store.submit(job())).id == 2
        assert await store.latest_id(TENANT) == 2

    adapter.run(submit)
    adapter.run(look_again)


def test_a_job_that_is_not_there_says_what_is(adapter: Adapter) -> None:
    async def ask(store: Store) -> None:
        assert await store.latest_id(TENANT) is None
        with pytest.raises(JobNotFound, match="there is none yet"):
            await store.job(TENANT, 1)
        await store.submit(job())
        for absent in (99, 0, -1, 1 << 63, 10**30):
            with pytest.raises(JobNotFound, match="latest is 1") as caught:
                await store.job(TENANT, absent)
            assert "wasmgrid jobs" in str(caught.value)

    adapter.run(ask)


def test_a_tenant_sees_its_own_jobs_only(adapter: Adapter) -> None:
    async def look(store: Store) -> None:
        term = await store.lead("s1")
        mine = await finished_job(store, term, job(tenant="mine", idempotency_key="k", request_sha256="1" * 64))
        theirs = (await store.submit(job(tenant="theirs", idempotency_key="k", request_sha256="2" * 64))).id
        assert mine != theirs
        with pytest.raises(JobNotFound, match=f"latest is {theirs}"):
            await store.job("theirs", mine)
        with pytest.raises(JobNotFound):
            await store.request_cancel("theirs", mine)
        assert await store.result("theirs", mine) is None
        assert [row.id for row in await store.jobs("theirs")] == [theirs]
        assert await store.latest_id("mine") == mine

    adapter.run(look)


def test_only_a_job_that_begins_can_be_submitted(adapter: Adapter) -> None:
    async def submit(store: Store) -> None:
        for state in JobState:
            if state in {JobState.BUILDING, JobState.QUEUED}:
                await store.submit(job(state=state))
            else:
                with pytest.raises(InvalidField):
                    await store.submit(job(state=state))

    adapter.run(submit)


def test_a_wish_to_cancel_is_kept_once_and_only_while_it_matters(adapter: Adapter) -> None:
    async def cancel(store: Store) -> None:
        term = await store.lead("s1")
        job_id = (await store.submit(job())).id
        await store.request_cancel(TENANT, job_id)
        first = (await store.job(TENANT, job_id)).cancel_requested_at
        assert first is not None
        await store.request_cancel(TENANT, job_id)
        assert (await store.job(TENANT, job_id)).cancel_requested_at == first
        assert [open_job.cancel_requested for open_job in await store.unfinished()] == [True]

        over = await finished_job(store, term)
        await store.request_cancel(TENANT, over)
        assert (await store.job(TENANT, over)).cancel_requested_at is None
        with pytest.raises(JobNotFound, match="no job 99"):
            await store.request_cancel(TENANT, 99)

    adapter.run(cancel)


def test_jobs_are_listed_newest_first_by_state_name_and_cursor(adapter: Adapter) -> None:
    async def look(store: Store) -> None:
        term = await store.lead("s1")
        for index in range(30):
            spec = StoredSpec(name=f"Sweep-{index % 3}", module_sha256=MODULE)
            if index % 2:
                await finished_job(store, term, job(spec))
            else:
                await store.submit(job(spec))
        await store.submit(building_job())

        everything = [row.id for row in await store.jobs(TENANT)]
        assert everything == list(range(31, 0, -1))
        pages = []
        before = None
        while page := await store.jobs(TENANT, before_id=before, limit=7):
            pages += [row.id for row in page]
            before = page[-1].id
        assert pages == everything

        succeeded = await store.jobs(TENANT, states={JobState.SUCCEEDED})
        assert [row.id for row in succeeded] == list(range(30, 0, -2))
        open_ones = await store.jobs(TENANT, states=[JobState.QUEUED, JobState.BUILDING, JobState.BUILDING], limit=3)
        assert [row.id for row in open_ones] == [31, 29, 27]
        named = await store.jobs(TENANT, name="sweep-1")
        assert {row.name for row in named} == {"Sweep-1"}
        assert len(named) == 10
        both = await store.jobs(TENANT, name="P-1", states=[JobState.SUCCEEDED, JobState.FAILED], before_id=20)
        assert [row.id for row in both] == [14, 8, 2]
        assert await store.jobs(TENANT, name="nothing like it") == []
        assert [row.id for row in await store.jobs(TENANT, before_id=10**30, limit=1)] == [31]

    adapter.run(look)


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_hostile_50_sql_in_any_field(adapter: Adapter, text: str) -> None:
    async def submit(store: Store) -> None:
        term = await store.lead(text)
        innocent = (await store.submit(job())).id
        spec = StoredSpec(name=text, module_sha256=MODULE, args=[text], env={text: text}, require={"k": text})
        given = job(spec, tenant=text, idempotency_key=text, request_sha256="1" * 64)
        job_id = (await store.submit(given)).id
        assert (await store.submit(given)).id == job_id
        assert (await store.job(text, job_id)).spec == spec
        listed = await store.jobs(text, name=text, states=list(JobState))
        assert [row.id for row in listed] == [job_id]
        assert await store.jobs(TENANT, name=text) == []
        await store.record(term, results=[result(job_id, worker_id=text)])
        found = await store.result(text, job_id)
        assert found is not None
        assert found.worker_id == text
        assert await store.module(text, tenant=text) is None
        assert (await store.job(TENANT, innocent)).state is JobState.QUEUED

    adapter.run(submit)


def test_the_signs_of_a_pattern_are_literal(adapter: Adapter) -> None:
    async def look(store: Store) -> None:
        for name in ("100%", "100x", "a_b", "axb", "a/b", "a\\b"):
            await store.submit(job(StoredSpec(name=name, module_sha256=MODULE)))
        for name in ("0%", "a_b", "a/b", "a\\b", "%", "_"):
            assert all(name in row.name for row in await store.jobs(TENANT, name=name))
            assert len(await store.jobs(TENANT, name=name)) == 1

    adapter.run(look)


def test_text_that_is_not_unicode_is_refused(adapter: Adapter) -> None:
    async def submit(store: Store) -> None:
        with pytest.raises(InvalidField):
            await store.submit(job(StoredSpec(name="\ud800", module_sha256=MODULE)))
        with pytest.raises(InvalidField):
            await store.submit(job(idempotency_key="\ud800"))
        assert (await store.submit(job())).id == 1

    adapter.run(submit)


def test_hostile_57_one_key_a_hundred_times_at_once(adapter: Adapter) -> None:
    async def race(store: Store) -> None:
        given = job(idempotency_key="order-66", request_sha256="1" * 64)
        answers = await asyncio.gather(*(store.submit(given) for _ in range(100)))
        assert {answer.id for answer in answers} == {answers[0].id}
        assert sum(not answer.existing for answer in answers) == 1
        assert len({answer.submitted_at for answer in answers}) == 1
        assert len(await store.jobs(TENANT, limit=1000)) == 1

    adapter.run(race)


def test_hostile_58_the_same_key_with_another_body(adapter: Adapter) -> None:
    async def conflict(store: Store) -> None:
        first = await store.submit(job(idempotency_key="k", request_sha256="1" * 64))
        other = job(idempotency_key="k", request_sha256="2" * 64)
        with pytest.raises(IdempotencyConflict, match=f"job {first.id}") as caught:
            await store.submit(other)
        assert (caught.value.field, caught.value.code) == ("idempotency_key", "idempotency_conflict")
        # In one batch with others it is refused alone.
        answers = await asyncio.gather(
            store.submit(job()), store.submit(other), store.submit(job()), store.submit(other), return_exceptions=True
        )
        assert [isinstance(answer, IdempotencyConflict) for answer in answers] == [False, True, False, True]
        assert len(await store.jobs(TENANT)) == 3

    adapter.run(conflict)


def test_hostile_59_a_key_used_again_after_the_job_is_over(adapter: Adapter) -> None:
    given = job(idempotency_key="k", request_sha256="1" * 64)

    async def first(store: Store) -> None:
        await finished_job(store, await store.lead("s1"), given, at=datetime.now(UTC))

    async def an_hour_later(store: Store) -> None:
        again = await store.submit(given)
        assert (again.id, again.existing) == (1, True)
        assert (await store.job(TENANT, 1)).state is JobState.SUCCEEDED

    adapter.run(first)
    adapter.run(an_hour_later)
