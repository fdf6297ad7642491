"""Many tasks and many jobs, by both clients: results as they come, pages of tasks, a run again, a batch."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from tests.sdk.scripted import Answer, Asked, Scripted
from tests.sdk.test_clients import both

from wasmgrid.core.errors import ModuleNotFound, Unreachable, WasmgridError
from wasmgrid.core.job import JobSpec, Lines
from wasmgrid.sdk import arrays, blobs, steps, views
from wasmgrid.sdk.async_client import AsyncClient
from wasmgrid.sdk.client import Client
from wasmgrid.sdk.counts import Counts
from wasmgrid.sdk.ndjson import LineParser
from wasmgrid.sdk.taskviews import Printed, Value

NDJSON = "application/x-ndjson"
LINES = (
    b'{"index":1,"return_value":5}\n\n{"index":0,"return_value":1e400,"brand_new":{}}\n'
    b'{"index":2,"outcome":"trapped","exit_code":null,"trap_kind":"unreachable","message":"no"}\n'
)


def test_lines_come_in_any_pieces() -> None:
    for size in (1, 2, 7, 1000):
        parser = LineParser()
        found = [line for at in range(0, len(LINES), size) for line in parser.feed(LINES[at : at + size])]
        assert found == [line for line in LINES.split(b"\n") if line]


@both
def test_values_as_they_come(scripted: Scripted, client: Any) -> None:
    scripted.respond = lambda _: Answer(LINES, kind=NDJSON)
    found = client.stream(scripted.url, arrays.results(3, Value, follow=True, after=7))
    assert [(each.index, bytes(each.return_value), each.succeeded) for each in found] == [
        (1, b"5", True), (0, b"1e400", True), (2, b"null", False),
    ]  # fmt: skip
    assert scripted.asked[0].target == "/v1/jobs/3/results?follow=true&values=true&after=7"


@both
def test_results_verbatim_and_in_part(scripted: Scripted, client: Any) -> None:
    scripted.respond = lambda _: Answer(LINES, kind=NDJSON)
    numbered = client.stream(scripted.url, arrays.verbatim(arrays.results(3, views.Result, failed=True)))
    assert [line.index for line in numbered] == [1, 0, 2]
    assert numbered[0].text == b'{"index":1,"return_value":5}'
    assert scripted.asked[0].target == "/v1/jobs/3/results?failed=true"
    line = b'{"index":4,"stdout":"\xef\xbf\xbd","stdout_base64":"/w==","outcome":"exited","exit_code":0}\n'
    scripted.respond = lambda _: Answer(line, kind=NDJSON)
    (printed,) = client.stream(scripted.url, arrays.results(3, Printed))
    assert (printed.index, printed.head) == (4, b"\xff")
    assert scripted.asked[-1].target == "/v1/jobs/3/results?lean=true"


@both
def test_a_stream_that_breaks_off_is_told(scripted: Scripted, client: Any) -> None:
    scripted.respond = lambda _: Answer(LINES, kind=NDJSON, broken=True)
    with pytest.raises(Unreachable):
        client.stream(scripted.url, arrays.results(3, Value))


def test_tasks_page_by_page(scripted: Scripted) -> None:
    def respond(asked: Asked) -> Answer:
        last = "cursor=1" in asked.target
        return Answer(
            {"tasks": [{"index": 9}] if last else [{"index": 0}, {"index": 1}], "next_cursor": None if last else 1}
        )

    async def collect() -> list[int]:
        async with AsyncClient(scripted.url) as client:
            return [task.index async for task in client.tasks(3, failed=True)]

    scripted.respond = respond
    with Client(scripted.url) as client:
        assert [task.index for task in client.tasks(3, failed=True)] == [0, 1, 9]
    assert asyncio.run(collect()) == [0, 1, 9]
    assert scripted.asked[1].target == "/v1/jobs/3/tasks?failed=true&limit=1000&cursor=1"


def test_the_methods_of_both_clients(scripted: Scripted) -> None:
    answers = {
        "/v1/jobs/3/tasks/7": Answer({"index": 7, "return_value": [1]}),
        "/v1/jobs/3/rerun?failed=true": Answer({"id": 4}, 201),
    }
    scripted.respond = lambda asked: answers.get(asked.target) or Answer(b'{"index":1}\n', kind=NDJSON)

    async def awaited() -> list[object]:
        async with AsyncClient(scripted.url) as client:
            return [
                (await client.task(3, 7)).return_value,
                (await client.rerun(3, failed=True, memory_mb=64)).id,
                [each.index async for each in client.results(3, follow=True)],
                [each.index async for each in client.values(3)],
            ]

    with Client(scripted.url) as client:
        assert (
            [
                client.task(3, 7).return_value,
                client.rerun(3, failed=True, memory_mb=64).id,
                [each.index for each in client.results(3, follow=True)],
                [each.index for each in client.values(3)],
            ]
            == asyncio.run(awaited())
            == [[1], 4, [1], [1]]
        )
    assert {asked.body for asked in scripted.asked if asked.method == "POST"} == {b'{"memory_mb":64}'}


@both
def test_many_jobs_at_once(scripted: Scripted, client: Any) -> None:
    module = blobs.of_bytes(b"\0asm")
    problem = {"status": 422, "code": "invalid_field", "detail": "cpus must be over 0", "field": "cpus"}
    missing = {"status": 422, "code": "module_not_found", "detail": "no such module"}

    def respond(asked: Asked) -> Answer:
        if asked.target == "/v1/jobs:batch":
            items: list[object] = [{"job": {"id": 1}}, {"error": problem}, {"error": missing}]
            return Answer({"jobs": items[: len(msgspec.json.decode(asked.body))]})
        return Answer({"id": 2}, 201)

    scripted.respond = respond
    specs = [JobSpec(module_sha256="a" * 64), JobSpec(module_sha256="b" * 64), JobSpec(module_sha256=module.sha256)]
    first, second, third = client.perform(scripted.url, steps.submit_many(specs, {module.sha256: module}))
    assert (first.id, third.id) == (1, 2)
    assert isinstance(second, WasmgridError)
    assert (second.code, second.field) == ("invalid_field", "cpus")
    sent = msgspec.json.decode(scripted.asked[0].body)
    assert all(len(each["idempotency_key"]) == 32 for each in sent)
    assert msgspec.json.decode(scripted.asked[1].body)["idempotency_key"] == sent[2]["idempotency_key"]
    *_, gone = client.perform(scripted.url, steps.submit_many(specs, {}))
    assert isinstance(gone, ModuleNotFound)


def test_batches_are_as_large_as_a_server_takes() -> None:
    many = [JobSpec(module_sha256="a" * 64)] * 2500
    assert [len(some) for some in steps._batches(many)] == [1000, 1000, 500]
    large = [JobSpec(module_sha256="a" * 64, args=["x" * (6 << 20)])] * 5
    assert [len(some) for some in steps._batches(large)] == [2, 2, 1]


@both
def test_lines_are_uploaded_where_the_grid_lacks_them(scripted: Scripted, client: Any) -> None:
    text = blobs.of_bytes(b"a\nb\n")
    have: set[str] = set()

    def respond(asked: Asked) -> Answer:
        if asked.method == "PUT":
            have.add(asked.target)
            return Answer({})
        if asked.method == "HEAD":
            return Answer(b"", 404)
        missing = {"status": 422, "code": "input_not_found", "detail": "missing"}
        return Answer({"id": 3}, 201) if have else Answer(missing, 422)

    scripted.respond = respond
    spec = JobSpec(module_sha256="a" * 64, lines=Lines(sha256=text.sha256))
    assert client.perform(scripted.url, steps.submit(spec, {text.sha256: text})).id == 3
    assert have == {f"/v1/inputs/{text.sha256}"}


def test_counts_in_whatever_words() -> None:
    said = {"succeeded": 5, "failed": 2, "trapped": 1, "cancelled": 1, "running": 2, "queued": 9, "building": 1}
    counts = Counts.of(said, 21)
    assert (counts.succeeded, counts.failed, counts.cancelled, counts.running, counts.ended) == (5, 3, 1, 2, 9)
    job = views.Job(id=1, task_count=21, task_counts=said)
    assert job.counts == counts


@pytest.mark.parametrize(("state", "code"), [("succeeded", 0), ("failed", 1), ("cancelled", 130), ("odd", 1)])
def test_the_exit_code_of_an_array(state: str, code: int) -> None:
    job = views.Job(id=1, state=state, spec=views.Spec(array="0-9"), result=views.Result(outcome="exited", exit_code=7))
    assert job.is_array
    assert job.process_exit_code == code
