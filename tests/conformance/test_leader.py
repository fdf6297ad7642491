"""The leader's writes: exactly one result a task, one end a job, and none from a term that is over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conformance.conftest import Make
from tests.conformance.samples import (
    MODULE,
    NOW,
    TENANT,
    Adapter,
    building_job,
    built,
    ended,
    finished,
    job,
    new_build,
    result,
    worker,
)

from wasmgrid.core.errors import Superseded
from wasmgrid.core.job import StoredSpec, TaskResult
from wasmgrid.core.lifecycle import JobState
from wasmgrid.core.outcome import Outcome, OutcomeKind, exited
from wasmgrid.core.ranges import Ranges
from wasmgrid.store import Store
from wasmgrid.store.rows import BuildState


def test_terms_rise_over_servers_and_restarts(adapter: Adapter) -> None:
    terms: list[int] = []

    async def lead(store: Store) -> None:
        terms.extend(await asyncio.gather(*(store.lead(f"s{index}") for index in range(5))))

    adapter.run(lead)
    adapter.run(lead)
    assert sorted(terms) == list(range(1, 11))
    assert max(terms[:5]) < min(terms[5:])


def test_nothing_is_written_in_a_term_that_is_over(adapter: Adapter) -> None:
    async def write(store: Store) -> None:
        job_id = (await store.submit(building_job())).id
        old = await store.lead("old")
        build = await store.open_build(old, new_build())
        await store.lead("new")
        writes: list[Callable[[int], Awaitable[object]]] = [
            lambda term: store.record(term, results=[result(job_id)], finished=[finished(job_id)]),
            lambda term: store.open_build(term, new_build("c" * 64)),
            lambda term: store.finish_build(term, built(build.id, MODULE, 6)),
            lambda term: store.assign_module(term, [job_id], module_sha256=MODULE, build_id=build.id, cached=False),
            lambda term: store.save_worker(term, worker(), "joined"),
        ]
        for attempt in writes:
            for term in (old, 0, old + 7):
                with pytest.raises(Superseded, match="new leads"):
                    await attempt(term)
        assert (await store.job(TENANT, job_id)).state is JobState.BUILDING
        assert await store.result(TENANT, job_id) is None
        assert await store.workers() == []
        unchanged = await store.build(build.id)
        assert unchanged is not None
        assert unchanged.state is BuildState.PENDING

    adapter.run(write)


def test_nobody_leads_at_first(adapter: Adapter) -> None:
    async def write(store: Store) -> None:
        with pytest.raises(Superseded, match="nobody leads"):
            await store.record(1, results=[result(1)])

    adapter.run(write)


def test_a_result_comes_back_as_it_was_given(adapter: Adapter) -> None:
    trapped = Outcome(kind=OutcomeKind.TRAPPED, trap_kind="unreachable", message="it trapped", backtrace="0: main\0")

    async def record(store: Store) -> None:
        term = await store.lead("s1")
        job_id = (await store.submit(job())).id
        word = result(job_id, outcome=trapped, attempt=(term << 32) + 7, finished_at=1e9)
        end = finished(job_id, JobState.FAILED, message="task 0 trapped\0")
        assert await store.record(term, results=[word], finished=[end]) == {}
        assert await store.result(TENANT, job_id) == word
        assert await store.result(TENANT, job_id, 1) is None
        row = await store.job(TENANT, job_id)
        assert (row.state, row.started_at, row.finished_at) == (JobState.FAILED, NOW - timedelta(seconds=1), NOW)
        assert row.message.startswith("task 0 trapped")
        assert await store.task_counts(job_id) == {"failed": 1}

    adapter.run(record)


def test_the_first_result_and_the_first_end_stand(adapter: Adapter) -> None:
    async def record(store: Store) -> None:
        term = await store.lead("s1")
        job_id = (await store.submit(job(task_count=3))).id
        words = [result(job_id, index, outcome=exited(attempt)) for attempt in range(4) for index in range(3)]
        refused = await asyncio.gather(*(store.record(term, results=[word]) for word in words))
        assert refused == [{}] * 3 + [{job_id: Ranges([(word.index, 1)])} for word in words[3:]]
        assert await store.record(term, results=words) == {job_id: Ranges([(0, 3)])}
        assert await store.task_counts(job_id) == {"succeeded": 3}
        kept = await store.result(TENANT, job_id, 1)
        assert kept is not None
        assert kept.outcome == exited(0)

        await store.record(term, finished=[finished(job_id)])
        later = finished(job_id, JobState.CANCELLED, at=NOW + timedelta(hours=1), message="no")
        await store.record(term, finished=[later])
        row = await store.job(TENANT, job_id)
        assert (row.state, row.finished_at, row.message) == (JobState.SUCCEEDED, NOW, "")

    adapter.run(record)


def test_words_that_wait_together_stay_apart(adapter: Adapter) -> None:
    async def record(store: Store) -> None:
        old = await store.lead("old")
        ids = [(await store.submit(job())).id for _ in range(4)]
        term = await store.lead("new")
        words = [result(job_id, outcome=exited(code)) for code in range(2) for job_id in ids]
        answers = await asyncio.gather(
            *(store.record(old, results=[word]) for word in words),
            *(store.record(term, results=[word], finished=[finished(word.job_id)]) for word in words),
            store.record(term, results=[result(10**6)]),
            *(store.record(old, results=[word]) for word in words),
            return_exceptions=True,
        )
        assert all(isinstance(answer, Superseded) for answer in (*answers[:8], *answers[17:]))
        late = [{job_id: Ranges([(0, 1)])} for job_id in (*ids, 10**6)]
        assert answers[8:17] == [*[{}] * 4, *late]
        for job_id in ids:
            kept = await store.result(TENANT, job_id)
            assert kept is not None
            assert kept.outcome == exited(0)
            assert (await store.job(TENANT, job_id)).state is JobState.SUCCEEDED

    adapter.run(record)


def test_one_word_twice_in_one_batch_is_one_result(adapter: Adapter) -> None:
    async def record(store: Store) -> None:
        term = await store.lead("s1")
        job_id = (await store.submit(job())).id
        second = result(job_id, outcome=exited(1))
        assert await store.record(term, results=[result(job_id), second]) == {job_id: Ranges([(0, 1)])}
        assert await store.result(TENANT, job_id) == result(job_id)

    adapter.run(record)


def test_words_on_tasks_that_do_not_exist_are_dropped(adapter: Adapter) -> None:
    async def record(store: Store) -> None:
        term = await store.lead("s1")
        job_id = (await store.submit(job(task_count=2))).id
        words = [result(99), result(job_id, 2), result(job_id, -1), result(job_id, 1)]
        attempts = [ended(99), ended(job_id)]
        refused = await store.record(term, results=words, ended=attempts, finished=[finished(99)])
        assert refused == {99: Ranges([(0, 1)]), job_id: Ranges([(-1, 1), (2, 1)])}
        assert await store.task_counts(job_id) == {"succeeded": 1}

    adapter.run(record)


def test_many_results_go_in_one_call(adapter: Adapter) -> None:
    async def record(store: Store) -> None:
        term = await store.lead("s1")
        job_id = (await store.submit(job(task_count=5000))).id
        words = [result(job_id, index) for index in range(5000)]
        assert await store.record(term, results=words) == {}
        (open_job,) = await store.unfinished()
        assert open_job.done == [(0, 5000)]

    adapter.run(record)


def test_unfinished_jobs_come_with_what_is_known_of_their_tasks(adapter: Adapter) -> None:
    async def look(store: Store) -> None:
        term = await store.lead("s1")
        over = (await store.submit(job())).id
        spec = StoredSpec(name="array", module_sha256=MODULE)
        array = (await store.submit(job(spec, task_count=4, tenant="other"))).id
        young = (await store.submit(building_job())).id
        await store.record(
            term,
            results=[result(over), result(array, 2, outcome=exited(3)), result(array, 0)],
            ended=[
                ended(array, 5, index=1, crash=True),
                ended(array, 6, index=1),
                ended(array, 6, index=1),  # said twice, counted once
                ended(array, 7, index=3, retry=True),
                ended(young, 8, kind="build"),
            ],
            finished=[finished(over)],
        )
        first, second = await store.unfinished()
        assert (first.id, first.tenant, first.spec, first.task_count) == (array, "other", spec, 4)
        assert (first.done, first.crashes) == ([(0, 1), (2, 1)], {1: 1})
        assert (first.failures, first.cancellations, first.retries) == (1, 0, {3: 1})
        assert first.latest == [(1, 1, 6), (3, 1, 7)]
        assert (second.failures, second.cancellations, second.retries) == (0, 0, {})
        assert (second.id, second.state, second.module_sha256) == (young, JobState.BUILDING, None)
        assert (second.done, second.latest, second.crashes) == ([], [], {})
        assert [open_job.id for open_job in await store.unfinished(limit=1)] == [array]
        assert [open_job.id for open_job in await store.unfinished(after_id=array)] == [young]
        assert await store.unfinished(after_id=young) == []
        listed = await store.attempts("other", array, limit=9)
        assert [(attempt.index, attempt.attempt) for attempt in listed] == [(1, 5), (1, 6), (3, 7)]
        assert listed[0] == ended(array, 5, index=1, crash=True)
        assert await store.attempts("other", array, limit=2) == listed[:2]
        assert await store.attempts("other", array, after=(1, 5), limit=1) == listed[1:2]
        assert await store.attempts("other", array, after=(1, 6), limit=9) == listed[2:]
        assert await store.latest_attempts("other", array, index=None, limit=2) == listed[1:]
        assert await store.latest_attempts("other", array, index=1, limit=9) == listed[:2]
        assert await store.latest_attempts("other", array, index=0, limit=9) == []
        assert await store.attempts(TENANT, array, limit=9) == []
        assert await store.latest_attempts(TENANT, array, index=None, limit=9) == []

    adapter.run(look)


def test_modules_and_workers_are_kept(adapter: Adapter) -> None:
    async def keep(store: Store) -> None:
        term = await store.lead("s1")
        assert await store.module(MODULE) is None
        await store.add_module(MODULE, 6, "component")
        await store.add_module(MODULE, 6, "component")
        row = await store.module(MODULE)
        assert row is not None
        assert (row.size, row.kind) == (6, "component")

        await store.save_worker(term, worker("w2"), "joined")
        await store.save_worker(term, worker("w1"), "joined")
        await store.save_worker(term, worker("w1", "i2"), "left")
        first, second = await store.workers()
        assert (first.id, first.state, first.info) == ("w1", "left", worker("w1", "i2"))
        assert first.joined_at <= first.changed_at
        assert (second.id, second.state) == ("w2", "joined")

    adapter.run(keep)


words = st.tuples(st.integers(1, 4), st.integers(0, 2), st.integers(0, 5))


@settings(max_examples=25, deadline=None)  # each opens a store
@given(batches=st.lists(st.lists(words, max_size=8), max_size=6))
def test_whatever_comes_how_often_the_first_word_stands(
    new_adapter: Make, tmp_path_factory: pytest.TempPathFactory, batches: list[list[tuple[int, int, int]]]
) -> None:
    """Three jobs of two tasks; words on them, and on a fourth that there is not, in any order and number."""

    async def record(store: Store) -> None:
        term = await store.lead("s1")
        for _ in range(3):
            await store.submit(job(task_count=2))
        first: dict[tuple[int, int], TaskResult] = {}
        for batch in batches:
            said = [result(job_id, index, outcome=exited(code)) for job_id, index, code in batch]
            refused: dict[int, Ranges] = {}
            for word in said:
                key = (word.job_id, word.index)
                if word.job_id <= 3 and word.index < 2 and key not in first:
                    first[key] = word
                else:
                    refused.setdefault(word.job_id, Ranges()).add(word.index)
            assert await store.record(term, results=said) == refused
        for job_id in (1, 2, 3):
            for index in (0, 1):
                assert await store.result(TENANT, job_id, index) == first.get((job_id, index))

    with new_adapter(tmp_path_factory.mktemp("store")) as adapter:
        adapter.run(record)
