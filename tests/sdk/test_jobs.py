"""Jobs as futures at a scripted server: who waits is told, over one connection, whatever becomes of the line."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, as_completed, wait
from typing import Any

import msgspec
import pytest
from tests.sdk.scripted import Answer, Asked, Scripted

import wasmgrid
from wasmgrid.sdk.steps import Patience

SOURCE = "int main(void) {\n return 0; }\n"
RESULT = {"outcome": "exited", "exit_code": 0, "stdout": "hi\n"}


class Grid:
    """Jobs that end when the test says so."""

    def __init__(self, scripted: Scripted) -> None:
        self.scripted = scripted
        self.count = 0
        self.ended: dict[int, dict[str, Any]] = {}
        self.changed = threading.Condition()
        self.waits: list[list[int]] = []
        self.away = 0
        scripted.respond = self.respond

    def end(self, *job_ids: int, **how: Any) -> None:
        with self.changed:
            for job_id in job_ids:
                job = {"id": job_id, "state": "succeeded", "finished": True, "result": RESULT | {"job_id": job_id}}
                self.ended[job_id] = job | how
            self.changed.notify_all()

    def respond(self, asked: Asked) -> Answer:
        if asked.target.startswith("/v1/jobs:wait"):
            return self._wait(msgspec.json.decode(asked.body))
        if asked.target.endswith("/cancel"):
            self.end(int(asked.target.split("/")[-2]), state="cancelled", result=None)
            return Answer(b"")
        with self.changed:
            self.count += 1
            return Answer({"id": self.count, "state": "queued"}, 201)

    def _wait(self, ids: list[int]) -> Answer:
        with self.changed:
            if self.away:
                self.away -= 1
                return Answer(cut=True)
            self.waits.append(ids)
            self.changed.notify_all()
            self.changed.wait_for(lambda: self.ended.keys() & set(ids), timeout=5)
            jobs = [self.ended[job_id] for job_id in ids if self.ended.get(job_id)]
            return Answer({"jobs": jobs, "missing": [each for each in ids if self.ended.get(each) == {}]})

    def asked_for(self, *ids: int) -> None:
        """Return once the client waits for exactly these."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.waits[-1:] == [list(ids)], timeout=10), self.waits


@pytest.fixture
def grid(scripted: Scripted) -> Grid:
    return Grid(scripted)


def test_a_job_is_a_future(grid: Grid) -> None:
    with wasmgrid.Client(grid.scripted.url) as client:
        job = client.submit(SOURCE)
        told: list[object] = []
        job.add_done_callback(told.append)
        with pytest.raises(TimeoutError):
            job.result(timeout=0.01)
        assert not job.done()
        assert repr(job) == "<Job 1: unfinished>"
        grid.end(1)
        assert job.result(timeout=10).stdout == "hi\n"
        assert job.done()
        assert told == [job]
        assert job.cancel() is False


def test_many_jobs_are_waited_for_over_one_connection(grid: Grid) -> None:
    with wasmgrid.Client(grid.scripted.url) as client:
        jobs = [client.submit(SOURCE) for _ in range(5)]
        grid.asked_for(1, 2, 3, 4, 5)
        grid.end(4)
        done, rest = wait(jobs, timeout=10, return_when="FIRST_COMPLETED")
        assert (done, len(rest)) == ({jobs[3]}, 4)
        grid.asked_for(1, 2, 3, 5)
        late = client.submit(SOURCE)
        grid.asked_for(1, 2, 3, 5, 6)
        grid.end(1, 2, 3, 5, 6)
        assert set(as_completed([*jobs, late], timeout=10)) == {*jobs, late}
        assert [each.name for each in threading.enumerate()].count("wasmgrid: waiting for jobs") == 1


def test_a_cancelled_job_raises_as_futures_do(grid: Grid) -> None:
    with wasmgrid.Client(grid.scripted.url) as client:
        job = client.submit(SOURCE)
        assert job.cancel() is True
        with pytest.raises(CancelledError):
            job.result(timeout=10)
        assert job.cancelled()


def test_a_build_that_failed(grid: Grid) -> None:
    with wasmgrid.Client(grid.scripted.url) as client:
        job = client.submit(SOURCE)
        how = {"state": "failed", "build": {"diagnostics": "main.c:1: error"}, "result": {"outcome": "build_failed"}}
        grid.end(1, **how)
        with pytest.raises(wasmgrid.BuildFailed, match=r"main\.c:1: error") as error:
            job.result(timeout=10)
        assert error.value.job_id == 1


def test_a_server_that_is_gone_for_a_moment(grid: Grid) -> None:
    grid.away = 2
    with wasmgrid.Client(grid.scripted.url) as client:
        job = client.submit(SOURCE)
        grid.asked_for(1)
        grid.end(1)
        assert job.result(timeout=10).ok


def test_a_server_that_stays_away(grid: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Patience.__init__, "__defaults__", (None, 0.1))
    grid.away = 1_000_000
    with wasmgrid.Client(grid.scripted.url) as client:
        with pytest.raises(wasmgrid.Unreachable, match="the job goes on where its grid does"):
            client.submit(SOURCE).result(timeout=10)
        grid.away = 0
        job = client.submit(SOURCE)  # and when it is back, it is back
        grid.end(job.id)
        assert job.result(timeout=10).ok


def test_a_job_that_was_deleted(grid: Grid) -> None:
    with wasmgrid.Client(grid.scripted.url) as client:
        job = client.submit(SOURCE)
        grid.ended[1] = {}
        with pytest.raises(wasmgrid.JobNotFound):
            job.result(timeout=10)


def test_a_client_that_is_closed_tells_who_waits(grid: Grid) -> None:
    client = wasmgrid.Client(grid.scripted.url)
    job = client.submit(SOURCE)
    grid.asked_for(1)
    client.close()
    with pytest.raises(wasmgrid.ClientClosed, match="the job goes on"):
        job.result(timeout=10)


def test_an_error_of_the_server_is_everybodys(grid: Grid) -> None:
    answer = grid.respond
    problem = Answer({"status": 401, "code": "unauthorized", "detail": "no token"}, 401)
    grid.scripted.respond = lambda asked: problem if "wait" in asked.target else answer(asked)
    with wasmgrid.Client(grid.scripted.url) as client, pytest.raises(wasmgrid.Unauthorized):
        client.submit(SOURCE).result(timeout=10)


def test_run_is_one_call_and_finds_its_job_again_when_the_line_breaks(grid: Grid) -> None:
    cuts = iter([True, False])
    keys = []

    def respond(asked: Asked) -> Answer:
        keys.append(msgspec.json.decode(asked.body)["idempotency_key"])
        return (
            Answer(cut=True)
            if next(cuts)
            else Answer({"id": 1, "state": "succeeded", "finished": True, "result": RESULT})
        )

    grid.scripted.respond = respond
    with wasmgrid.Client(grid.scripted.url) as client:
        assert client.run(SOURCE).ok
    assert len(set(keys)) == 1


def test_what_the_server_warns_of_is_logged(grid: Grid, caplog: pytest.LogCaptureFixture) -> None:
    grid.scripted.respond = lambda _: Answer(
        {"id": 1, "state": "queued", "warnings": ["no worker has 7 \x1bgpus"]}, 201
    )
    with wasmgrid.Client(grid.scripted.url) as client:
        assert client.submit(SOURCE, gpus=7).warnings == ["no worker has 7 \x1bgpus"]
    assert [(each.name, each.getMessage()) for each in caplog.records] == [
        ("wasmgrid", "job 1: no worker has 7 \\x1bgpus")
    ]


def test_the_async_client_waits_likewise(grid: Grid) -> None:
    async def use(act: Callable[[wasmgrid.AsyncClient], Any]) -> Any:
        async with wasmgrid.AsyncClient(grid.scripted.url) as client:
            return await act(client)

    async def several(client: wasmgrid.AsyncClient) -> None:
        jobs = [await client.submit(SOURCE) for _ in range(3)]
        await asyncio.to_thread(grid.asked_for, 1, 2, 3)
        grid.end(2)
        assert (await jobs[1]).ok
        assert jobs[1].done()
        with pytest.raises(TimeoutError):
            await jobs[0].result(timeout=0.01)
        assert await jobs[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await jobs[0]
        grid.away = 1
        grid.end(3)
        assert [result.ok for result in await asyncio.gather(jobs[2], jobs[1])] == [True, True]

    async def closed(client: wasmgrid.AsyncClient) -> None:
        job = await client.submit(SOURCE)
        await client.close()
        with pytest.raises(wasmgrid.ClientClosed):
            await job

    asyncio.run(use(several))
    asyncio.run(use(closed))
