"""Results of many tasks: one each, in ranges and alone, by index and in the order of recording."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conformance.conftest import Make
from tests.conformance.samples import MODULE, TENANT, Adapter, calls, finished, job, result

from wasmgrid.core.job import Stats, StoredSpec, TaskRange, TaskResult
from wasmgrid.core.lifecycle import JobState
from wasmgrid.core.outcome import Outcome, OutcomeKind, exited
from wasmgrid.core.ranges import Ranges
from wasmgrid.store import Store
from wasmgrid.store.rows import NewJob

CANCELLED = Outcome(kind=OutcomeKind.CANCELLED)
TIMED_OUT = Outcome(kind=OutcomeKind.TIMED_OUT, message="took too long")


def array(indexes: str = "0-99", tenant: str = TENANT) -> NewJob:
    """An array job."""
    spec = StoredSpec(name="array", array=indexes, module_sha256=MODULE)
    return job(spec, task_count=sum(count for _, count in spec.indexes), tenant=tenant)


def spans(found: list[TaskResult | TaskRange]) -> list[tuple[int, int]]:
    return [(each.index, 1) if isinstance(each, TaskResult) else (each.first, each.count) for each in found]


def test_a_range_is_a_result_for_each_of_its_tasks(adapter: Adapter) -> None:
    async def record(store: Store) -> None:
        term = await store.lead("s1")
        job_id = (await store.submit(array())).id
        given = calls(job_id, 10, 5, stats=Stats(wall_ms=0.5), started_at=1.5, finished_at=2.5)
        assert await store.record(term, ranges=[given]) == {}
        assert [await store.result(TENANT, job_id, index) for index in (9, 15)] == [None, None]
        assert [await store.result(TENANT, job_id, index) for index in range(10, 15)] == list(given.results())
        page = await store.results(TENANT, job_id)
        assert page.results == [given]
        assert await store.tasks(TENANT, job_id) == list(given.results())
        assert await store.task_counts(job_id) == {"succeeded": 5}
        assert await store.result("other", job_id, 10) is None
        assert (await store.results("other", job_id)).results == await store.tasks("other", job_id) == []

    adapter.run(record)


def test_of_a_range_that_overlaps_only_what_is_new_is_recorded(adapter: Adapter) -> None:
    async def record(store: Store) -> None:
        term = await store.lead("s1")
        job_id = (await store.submit(array())).id
        await store.record(term, results=[result(job_id, 5)], ranges=[calls(job_id, 20, 10)])
        late = [calls(job_id, 0, 8), calls(job_id, 15, 10), calls(job_id, 28, 4), calls(job_id, 22, 3)]
        refused = await store.record(term, ranges=late)
        assert refused == {job_id: Ranges([(5, 1), (20, 5), (28, 2)])}
        (open_job,) = await store.unfinished()
        assert open_job.done == [(0, 8), (15, 17)]
        values = {task.index: task.return_value for task in await store.tasks(TENANT, job_id)}
        assert values == {index: None if index == 5 else f"{10 * index}" for index in Ranges(open_job.done)}
        singles = [result(job_id, index) for index in (0, 8, 21, 31, 32)]
        assert await store.record(term, results=singles) == {job_id: Ranges([(0, 1), (21, 1), (31, 1)])}
        assert await store.task_counts(job_id) == {"succeeded": 27}

    adapter.run(record)


def test_results_come_in_the_order_of_recording_while_the_job_runs(adapter: Adapter) -> None:
    async def follow(store: Store) -> None:
        term = await store.lead("s1")
        other = (await store.submit(array())).id
        job_id = (await store.submit(array())).id
        seen: list[tuple[int, int]] = []
        cursor = 0
        for at, words in enumerate([[7, 3, 90], [41, 5, 2], [60]]):
            await store.record(term, results=[result(other, at), *(result(job_id, index) for index in words)])
            page = await store.results(TENANT, job_id, after=cursor, limit=2)
            seen, cursor = seen + spans(page.results), page.cursor
        await store.record(term, ranges=[calls(job_id, 10, 20)], finished=[finished(job_id)])
        while (page := await store.results(TENANT, job_id, after=cursor, limit=2)).results:
            assert page.seqs[-1] == page.cursor
            assert (
                spans((await store.results(TENANT, job_id, after=page.seqs[0])).results)[: len(page.seqs) - 1]
                == (spans(page.results)[1:])
            )
            seen, cursor = seen + spans(page.results), page.cursor
        assert seen == [(7, 1), (3, 1), (90, 1), (41, 1), (5, 1), (2, 1), (60, 1), (10, 20)]
        assert (await store.results(TENANT, job_id, after=cursor)).cursor == cursor

    adapter.run(follow)


def test_a_page_ends_where_it_is_large(adapter: Adapter, monkeypatch: pytest.MonkeyPatch) -> None:
    async def read(store: Store) -> None:
        monkeypatch.setattr("wasmgrid.store.tasks.PAGE_BYTES", 100)
        term = await store.lead("s1")
        job_id = (await store.submit(array())).id
        await store.record(term, results=[result(job_id, index) for index in range(9)])
        cursor, pages = 0, []
        while (page := await store.results(TENANT, job_id, after=cursor)).results:
            pages.append(spans(page.results))
            cursor = page.cursor
        assert len(pages) > 3
        assert [span for some in pages for span in some] == [(index, 1) for index in range(9)]
        assert 0 < len(await store.tasks(TENANT, job_id)) < 9

    adapter.run(read)


def test_what_went_wrong_is_found_among_many(adapter: Adapter) -> None:
    async def look(store: Store) -> None:
        term = await store.lead("s1")
        job_id = (await store.submit(array("0-9999"))).id
        await store.record(
            term,
            ranges=[
                calls(job_id, 0, 4000),
                TaskRange(job_id=job_id, first=5000, count=5000, attempt=0, worker_id="", outcome=CANCELLED),
            ],
            results=[result(job_id, 4000, outcome=exited(3)), result(job_id, 4002, outcome=TIMED_OUT)],
        )
        await store.record(term, results=[result(job_id, 4001), result(job_id, 4003, outcome=exited(1))])
        assert await store.failed_runs(TENANT, job_id) == [(4000, 1), (4002, 2), (5000, 5000)]
        assert await store.failed_runs("other", job_id) == []
        assert await store.task_counts(job_id) == {"succeeded": 4001, "failed": 3, "cancelled": 5000}
        (open_job,) = await store.unfinished()
        assert (open_job.failures, open_job.cancellations) == (3, 5000)
        assert open_job.done == [(0, 4004), (5000, 5000)]

        failed = await store.tasks(TENANT, job_id, failed=True, limit=5)
        assert [task.index for task in failed] == [4000, 4002, 4003, 5000, 5001]
        failed = await store.tasks(TENANT, job_id, failed=True, after_index=9997)
        assert [task.index for task in failed] == [9998, 9999]
        late = await store.tasks(TENANT, job_id, outcome=OutcomeKind.TIMED_OUT)
        assert late == [result(job_id, 4002, outcome=TIMED_OUT)]
        ended = await store.tasks(TENANT, job_id, outcome=OutcomeKind.EXITED, after_index=3998, limit=4)
        assert [task.index for task in ended] == [3999, 4000, 4001, 4003]
        page = await store.results(TENANT, job_id, failed=True)
        assert spans(page.results) == [(4000, 1), (4002, 1), (5000, 5000), (4003, 1)]
        assert page.cursor == 6

    adapter.run(look)


def test_a_sample_is_spread_over_what_there_is(adapter: Adapter) -> None:
    async def look(store: Store) -> None:
        term = await store.lead("s1")
        job_id = (await store.submit(array("0-999"))).id
        assert await store.sample(TENANT, job_id, 10) == []
        await store.record(term, ranges=[calls(job_id, 0, 500, stats=Stats(wall_ms=1.0))])
        slow = [result(job_id, index, stats=Stats(wall_ms=9.0)) for index in range(500, 1000)]
        await store.record(term, results=slow)
        sample = await store.sample(TENANT, job_id, 100)
        assert 100 <= len(sample) <= 101
        assert 45 <= sum(stats.wall_ms == 1.0 for stats in sample) <= 55
        assert await store.sample("other", job_id, 10) == []

    adapter.run(look)


def test_indexes_of_an_array_may_have_gaps(adapter: Adapter) -> None:
    async def record(store: Store) -> None:
        term = await store.lead("s1")
        job_id = (await store.submit(array("3,7,10-20"))).id
        one = (await store.submit(array("7"))).id
        words = [result(job_id, 3), result(job_id, 20), result(job_id, 21), result(one, 7), result(one, 8)]
        assert await store.record(term, results=words) == {job_id: Ranges([(21, 1)]), one: Ranges([(8, 1)])}
        assert [job.done for job in await store.unfinished()] == [[(3, 1), (20, 1)], [(7, 1)]]
        end = TaskRange(job_id=job_id, first=0, count=1 << 31, attempt=0, worker_id="", outcome=CANCELLED)
        assert await store.record(term, ranges=[end]) == {
            job_id: Ranges([(3, 1), (20, (1 << 31) - 20)]),
        }
        assert await store.result(TENANT, job_id, 1 << 40) is None

    adapter.run(record)


def test_an_array_ends_with_the_bytes_of_all_its_results(adapter: Adapter) -> None:
    async def record(store: Store) -> None:
        term = await store.lead("s1")
        job_id = (await store.submit(array())).id
        await store.record(term, ranges=[calls(job_id, 0, 50)])
        await store.record(term, ranges=[calls(job_id, 50, 50)], finished=[finished(job_id)])
        assert (await store.job(TENANT, job_id)).state is JobState.SUCCEEDED
        # Its results are over with it: a prune may be taking them away.
        assert await store.record(term, results=[result(job_id, 3)]) == {job_id: Ranges([(3, 1)])}

    adapter.run(record)


spoken = st.tuples(st.integers(1, 3), st.integers(0, 12), st.integers(0, 9), st.integers(0, 3))


@settings(max_examples=12, deadline=None)  # each opens a store
@given(batches=st.lists(st.lists(spoken, max_size=8), min_size=2, max_size=8))
def test_alone_or_in_ranges_the_first_word_stands(
    new_adapter: Make, tmp_path_factory: pytest.TempPathFactory, batches: list[list[tuple[int, int, int, int]]]
) -> None:
    """Two arrays of ten tasks, a third job that there is not; words on one task or some, within and beyond."""

    async def record(store: Store) -> None:
        term = await store.lead("s1")
        for _ in range(2):
            await store.submit(array("0-9"))
        first: dict[tuple[int, int], int] = {}
        for batch in batches:
            refused: dict[int, Ranges] = {}
            singles = [each for each in batch if each[2] == 0]
            ranges = [each for each in batch if each[2] > 0]
            for job_id, index, count, code in [*singles, *ranges]:
                for at in range(index, index + max(1, count)):
                    if job_id <= 2 and at < 10 and (job_id, at) not in first:
                        first[job_id, at] = code
                    else:
                        refused.setdefault(job_id, Ranges()).add(at)
            answer = await store.record(
                term,
                results=[result(job_id, index, outcome=exited(code)) for job_id, index, _, code in singles],
                ranges=[calls(job_id, index, count, outcome=exited(code)) for job_id, index, count, code in ranges],
            )
            assert answer == refused
        for job_id in (1, 2):
            kept = {task.index: task.outcome.exit_code for task in await store.tasks(TENANT, job_id)}
            assert kept == {at: code for (of, at), code in first.items() if of == job_id}
            for at in range(10):
                found = await store.result(TENANT, job_id, at)
                assert (None if found is None else found.outcome.exit_code) == kept.get(at)
        assert [Ranges(job.done) for job in await store.unfinished()] == [
            Ranges((at, 1) for of, at in first if of == job_id) for job_id in (1, 2)
        ]

    with new_adapter(tmp_path_factory.mktemp("store")) as adapter:
        adapter.run(record)
