"""Prune: what is old or too much goes, what something still needs stays."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conformance.conftest import Make
from tests.conformance.samples import (
    MODULE,
    TENANT,
    Adapter,
    building_job,
    built,
    calls,
    ended,
    finished,
    finished_job,
    job,
    new_build,
    not_built,
    result,
)
from tests.store.commits import count_commits

from wasmgrid.build.builder import Builder
from wasmgrid.build.provision import default_directory
from wasmgrid.core.errors import JobNotFound
from wasmgrid.core.interpreters import QUICKJS
from wasmgrid.core.job import Artifact, Input, Output, Stdin, StoredSpec
from wasmgrid.core.lifecycle import JobState
from wasmgrid.store import Store
from wasmgrid.store.rows import NewJob, PrunePolicy, PruneReport

EVERYTHING = PrunePolicy(results_age_s=0, results_bytes=None, builds_age_s=0, builds_bytes=None, grace_s=0)
NOTHING = PrunePolicy(results_age_s=None, results_bytes=None, builds_age_s=None, builds_bytes=None, grace_s=0)


def ago(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


async def blob(store: Store, data: bytes) -> str:
    sha256, _ = await store.blobs.put(data)
    return sha256


async def here(store: Store, *digests: str) -> list[bool]:
    return [await store.blobs.size(sha256) is not None for sha256 in digests]


async def a_job_of_blobs(store: Store, seed: str) -> tuple[NewJob, list[str]]:
    """A job that names a module, a source, standard input and an input, all of them there."""
    names = [await blob(store, f"{seed} {what}".encode()) for what in ("module", "source", "stdin", "input")]
    module, source, stdin, given = names
    spec = StoredSpec(
        name=seed,
        module_sha256=module,
        source=building_job(source).spec.source,
        stdin=Stdin(sha256=stdin),
        inputs=[Input(path="/in/x", sha256=given)],
    )
    return job(spec, module_sha256=module), names


def test_an_old_job_goes_with_all_that_hangs_on_it(adapter: Adapter) -> None:
    async def prune(store: Store) -> None:
        term = await store.lead("s1")
        new, names = await a_job_of_blobs(store, "old")
        job_id = (await store.submit(new)).id
        outputs = [await blob(store, what) for what in (b"stdout", b"stderr", b"artifact")]
        word = result(
            job_id,
            stdout=Output(sha256=outputs[0], size=6),
            stderr=Output(sha256=outputs[1], size=6),
            artifacts=[Artifact(path="x", bytes=8, sha256=outputs[2])],
        )
        await store.record(term, results=[word], ended=[ended(job_id)], finished=[finished(job_id, at=ago(7200))])
        young = await finished_job(store, term, at=ago(10))

        before = await store.prune(PrunePolicy(results_age_s=3600, grace_s=0, dry_run=True))
        assert before == PruneReport(jobs=1, dry_run=True)
        assert await here(store, *names, *outputs) == [True] * 7
        report = await store.prune(PrunePolicy(results_age_s=3600, grace_s=0))
        assert (report.jobs, report.blobs) == (1, 7)
        assert report.bytes == sum(len(f"old {what}") for what in ("module", "source", "stdin", "input")) + 20
        assert await here(store, *names, *outputs) == [False] * 7
        with pytest.raises(JobNotFound):
            await store.job(TENANT, job_id)
        assert await store.result(TENANT, job_id) is None
        assert await store.attempts(TENANT, job_id, limit=10) == []
        assert [row.id for row in await store.jobs(TENANT)] == [young]

    adapter.run(prune)


def test_what_an_unfinished_job_names_stays_whatever_its_age(adapter: Adapter) -> None:
    async def prune(store: Store) -> None:
        term = await store.lead("s1")
        new, names = await a_job_of_blobs(store, "open")
        job_id = (await store.submit(new)).id
        building_source = await blob(store, b"fn main() {}")
        building = (await store.submit(building_job(building_source))).id
        build = await store.open_build(term, new_build(sha256=building_source))
        for sha256 in (*names, building_source):
            await adapter.age(store, sha256, 1e9)
        assert await store.prune(EVERYTHING) == PruneReport()
        assert await here(store, *names, building_source) == [True] * 5
        assert {row.id for row in await store.jobs(TENANT)} == {job_id, building}
        assert await store.build(build.id) is not None

    adapter.run(prune)


def test_a_shared_blob_stays_while_one_job_names_it(adapter: Adapter) -> None:
    async def prune(store: Store) -> None:
        term = await store.lead("s1")
        new, names = await a_job_of_blobs(store, "shared")
        await finished_job(store, term, new, at=ago(7200))
        await finished_job(store, term, new, at=ago(10))
        assert (await store.prune(PrunePolicy(results_age_s=3600, grace_s=0))).blobs == 0
        assert await here(store, *names) == [True] * 4
        assert (await store.prune(EVERYTHING)).blobs == 4

    adapter.run(prune)


def test_the_oldest_go_first_where_there_is_too_much(adapter: Adapter) -> None:
    async def prune(store: Store) -> None:
        term = await store.lead("s1")
        ids = []
        for index in range(10):
            stdin = await blob(store, bytes([index]) * 100_000)
            new = job(StoredSpec(name="big", stdin=Stdin(sha256=stdin)), module_sha256=None)
            ids.append(await finished_job(store, term, new, at=ago(1000 - index)))
        policy = PrunePolicy(results_age_s=None, results_bytes=450_000, grace_s=0)
        report = await store.prune(policy)
        assert (report.jobs, report.blobs, report.bytes) == (6, 6, 600_000)
        assert [row.id for row in await store.jobs(TENANT)] == ids[:5:-1]
        assert await store.prune(policy) == PruneReport()

    adapter.run(prune)


def test_outputs_count_towards_the_size(adapter: Adapter) -> None:
    async def prune(store: Store) -> None:
        term = await store.lead("s1")
        for _ in range(2):
            job_id = (await store.submit(job())).id
            word = result(job_id, stdout=Output(data=b"x" * 60_000, size=60_000))
            await store.record(term, results=[word], finished=[finished(job_id, at=ago(100))])
        report = await store.prune(PrunePolicy(results_age_s=None, results_bytes=100_000, grace_s=0))
        assert report.jobs == 1

    adapter.run(prune)


def test_nothing_goes_in_its_grace_period(adapter: Adapter) -> None:
    async def prune(store: Store) -> None:
        term = await store.lead("s1")
        loose = await blob(store, b"just uploaded")
        build = await store.open_build(term, new_build())
        await store.finish_build(term, not_built(build.id))
        await finished_job(store, term, at=ago(10))
        policy = PrunePolicy(results_age_s=0, results_bytes=0, builds_age_s=0, builds_bytes=0, grace_s=3600)
        assert await store.prune(policy) == PruneReport()
        # An upload of before the start has its grace anew: the word that names it may be on its way.
        await adapter.age(store, loose, 7200)
        assert await store.prune(policy) == PruneReport()
        assert (await store.prune(EVERYTHING)).blobs == 1
        assert await here(store, loose) == [False]

    adapter.run(prune)


def test_builds_go_by_their_last_use_with_their_modules(adapter: Adapter) -> None:
    async def prune(store: Store) -> None:
        term = await store.lead("s1")
        source = await blob(store, b"source")
        module = await blob(store, b"module")
        build = await store.open_build(term, new_build(sha256=source))
        await store.record(term, ended=[ended(build.id, kind="build")])
        await store.finish_build(term, built(build.id, module, 6))
        job_id = (await store.submit(building_job(source))).id
        await store.assign_module(term, [job_id], module_sha256=module, build_id=build.id, cached=False)
        await store.record(term, finished=[finished(job_id, at=ago(7200))])

        keep_jobs = PrunePolicy(results_age_s=None, builds_age_s=0, grace_s=0)
        assert await store.prune(keep_jobs) == PruneReport()  # a kept job names them
        assert await store.prune(PrunePolicy(results_age_s=0, builds_age_s=3600, grace_s=0)) == PruneReport(jobs=1)
        assert await here(store, source, module) == [True, True]  # for the next submission of that source
        report = await store.prune(EVERYTHING)
        assert (report.builds, report.modules, report.blobs) == (1, 1, 2)
        assert await store.build(build.id) is None
        assert await store.module(module) is None
        again = await store.open_build(term, new_build(sha256=source))
        assert again.id > build.id

    adapter.run(prune)


def test_builds_and_modules_go_by_size_too(adapter: Adapter) -> None:
    async def prune(store: Store) -> None:
        term = await store.lead("s1")
        for index in range(4):
            module = await blob(store, bytes([index]) * 1000)
            build = await store.open_build(term, new_build(key=f"{index:064x}", sha256="0" * 64))
            await store.finish_build(term, built(build.id, module, 1000))
        uploaded = await blob(store, b"u" * 1000)
        await store.add_module(uploaded, 1000, "core")
        report = await store.prune(PrunePolicy(builds_age_s=None, builds_bytes=2500, grace_s=0))
        assert (report.builds, report.modules, report.blobs) == (3, 3, 3)
        assert await store.module(uploaded) is not None

    adapter.run(prune)


def test_numbers_are_not_given_twice(adapter: Adapter) -> None:
    async def prune(store: Store) -> None:
        term = await store.lead("s1")
        last = [await finished_job(store, term, at=ago(10)) for _ in range(3)][-1]
        assert (await store.prune(EVERYTHING)).jobs == 3
        assert (await store.submit(job())).id > last

    adapter.run(prune)


def test_more_than_a_page_goes(adapter: Adapter) -> None:
    async def prune(store: Store) -> None:
        term = await store.lead("s1")
        submitted = await asyncio.gather(*(store.submit(job()) for _ in range(350)))
        at = ago(100)
        ends = [finished(each.id, JobState.SUCCEEDED if each.id % 2 else JobState.FAILED, at=at) for each in submitted]
        await store.record(term, results=[result(each.id) for each in submitted], finished=ends)
        assert (await store.prune(EVERYTHING)).jobs == 350
        assert await store.latest_id(TENANT) is None

    adapter.run(prune)


def test_a_job_of_many_tasks_goes_slice_by_slice(adapter: Adapter) -> None:
    async def prune(store: Store) -> None:
        term = await store.lead("s1")
        many = StoredSpec(array="0-5999", module_sha256=MODULE)
        job_id = (await store.submit(job(many, task_count=6000))).id
        await store.record(
            term,
            results=[result(job_id, index) for index in range(5000)],
            ranges=[calls(job_id, 5000, 1000)],
            ended=[ended(job_id, index=index) for index in range(10)],
            finished=[finished(job_id, at=ago(100))],
        )
        commits = count_commits(store._writer)
        assert (await store.prune(EVERYTHING)).jobs == 1
        assert len(commits) >= 3
        assert (await store.results(TENANT, job_id)).results == []
        assert await store.task_counts(job_id) == {}
        assert await store.attempts(TENANT, job_id, limit=10) == []

    adapter.run(prune)


shapes = st.lists(
    st.tuples(
        st.booleans(),  # is it finished?
        st.sampled_from(range(0, 10_000, 500)),  # so many seconds ago
        st.sets(st.integers(0, 5), max_size=3),  # the blobs that its spec names
        st.sets(st.integers(0, 5), max_size=3),  # the blobs that its result names
    ),
    max_size=6,
)
policies = st.builds(
    PrunePolicy,
    results_age_s=st.none() | st.sampled_from(range(250, 10_000, 500)),  # never at the edge while the clock runs on
    results_bytes=st.none() | st.integers(0, 3_000),
    grace_s=st.sampled_from([0, 0, 5_250]),
)


@settings(max_examples=25, deadline=None)  # each opens a store
@given(shape=shapes, policy=policies)
def test_prune_never_removes_what_a_kept_row_names(
    new_adapter: Make,
    tmp_path_factory: pytest.TempPathFactory,
    shape: list[tuple[bool, int, set[int], set[int]]],
    policy: PrunePolicy,
) -> None:
    async def prune(store: Store) -> None:
        term = await store.lead("s1")
        blobs = [await blob(store, bytes([index]) * 500) for index in range(6)]
        named: dict[int, set[str]] = {}
        for over, age, taken, left in shape:
            inputs = [Input(path=f"/in/{index}", sha256=blobs[index]) for index in sorted(taken)]
            job_id = (await store.submit(job(StoredSpec(name="x", inputs=inputs), module_sha256=None))).id
            named[job_id] = {blobs[index] for index in taken}
            if over:
                artifacts = [Artifact(path=str(index), bytes=500, sha256=blobs[index]) for index in sorted(left)]
                await store.record(
                    term, results=[result(job_id, artifacts=artifacts)], finished=[finished(job_id, at=ago(age))]
                )
                named[job_id] |= {blobs[index] for index in left}
        unfinished = {open_job.id for open_job in await store.unfinished()}
        report = await store.prune(policy)
        kept = {row.id for row in await store.jobs(TENANT)}
        assert unfinished <= kept
        assert report.jobs == len(named) - len(kept)
        needed = set().union(*(named[job_id] for job_id in kept)) if kept else set()
        for sha256 in blobs:
            there = await store.blobs.size(sha256) is not None
            assert there == (sha256 in needed or policy.grace_s > 0)
        assert await store.prune(policy) == PruneReport()
        assert (await store.prune(NOTHING)).jobs == 0

    with new_adapter(tmp_path_factory.mktemp("store")) as adapter:
        adapter.run(prune)


def test_an_interpreter_stays_though_no_row_names_it(adapter: Adapter) -> None:
    module = Builder(default_directory(), Path("/nonexistent")).interpreter(QUICKJS.sha256).module
    if module is None:
        pytest.skip("no interpreter here: wasmgrid toolchain install javascript")
    content = module.read_bytes()

    async def prune(store: Store) -> None:
        names = [await blob(store, content), await blob(store, b"other")]
        assert names[0] == QUICKJS.sha256
        assert (await store.prune(EVERYTHING)).blobs == 1
        assert await here(store, *names) == [True, False]

    adapter.run(prune)
