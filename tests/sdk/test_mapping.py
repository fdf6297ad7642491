"""Programs and functions over many inputs at a scripted server: what is sent, what comes of lines in any order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from tests.sdk.scripted import Answer, Asked, Scripted

import wasmgrid
from wasmgrid.core.digest import sha256_hex
from wasmgrid.core.errors import InvalidField

SOURCE = "int f(int x) {\n return x; }\n"
NDJSON = "application/x-ndjson"


class Array:
    """A server with one array, whose results the test says, and which may be cut."""

    def __init__(self, scripted: Scripted, *streams: bytes, count: int = 3, **job: Any) -> None:
        self.scripted = scripted
        self.streams = list(streams)
        self.job = {
            "id": 7, "state": "succeeded", "finished": True, "task_count": count, "spec": {"array": f"0-{count - 1}"},
            "module_sha256": "a" * 64, "task_counts": {"succeeded": count},
        } | job  # fmt: skip
        self.sent: dict[str, Any] = {}
        self.lines = b""
        self.cancelled = 0
        scripted.respond = self.respond

    def respond(self, asked: Asked) -> Answer:
        if asked.method == "HEAD":
            return Answer(b"", 404)
        if asked.method == "PUT":
            self.lines = asked.body
            assert asked.target == f"/v1/inputs/{sha256_hex(asked.body)}"
            return Answer({})
        if asked.target.endswith("/cancel"):
            self.cancelled += 1
            return Answer(b"")
        if "/results" in asked.target:
            rest = len(self.streams) > 1
            return Answer(self.streams.pop(0) if rest else self.streams[0], kind=NDJSON, broken=rest)
        if "/tasks" in asked.target:
            task = {"job_id": 7, "index": 1, "outcome": "trapped", "message": "no", "stderr": "deep trouble"}
            return Answer({"tasks": [task | {"outcome": "build_failed"}]} if "?" in asked.target else task)
        if asked.method == "POST":
            self.sent = msgspec.json.decode(asked.body)
            if not self.lines:
                return Answer({"status": 422, "code": "input_not_found", "detail": "send it"}, 422)
        return Answer(self.job)


def sync(url: str, use: Callable[[Any], Any], *, close: int = 0) -> list[Any]:
    with wasmgrid.Client(url) as client:
        found = []
        for each in use(client):
            found.append(each)
            if len(found) == close:
                break
        return found


def in_a_loop(url: str, use: Callable[[Any], Any], *, close: int = 0) -> list[Any]:
    async def go() -> list[Any]:
        async with wasmgrid.AsyncClient(url) as client:
            found = []
            async for each in use(client):
                found.append(each)
                if len(found) == close:
                    break
            return found

    return asyncio.run(go())


both = pytest.mark.parametrize("having", [sync, in_a_loop])


@both
def test_values_in_the_order_of_the_inputs_over_a_line_that_breaks(scripted: Scripted, having: Any) -> None:
    grid = Array(
        scripted,
        b'{"index":2,"seq":0,"return_value":[20]}\n{"index":0,"seq":1,"return_value":null}\n',
        b'{"index":0,"seq":1,"return_value":null}\n{"index":1,"seq":2,"return_value":"x"}\n',
    )
    assert having(scripted.url, lambda c: c.map(SOURCE, [(1, 2), 5, "z"], function="f")) == [None, "x", [20]]
    assert grid.lines == b'[1,2]\n5\n"z"\n'
    assert (grid.sent["function"], grid.sent["lines"]["use"]) == ("f", "call")
    assert [each.target for each in scripted.asked if "/results" in each.target] == [
        "/v1/jobs/7/results?follow=true&values=true", "/v1/jobs/7/results?follow=true&values=true&after=1",
    ]  # fmt: skip
    assert not grid.cancelled


@both
def test_values_as_they_come(scripted: Scripted, having: Any) -> None:
    Array(scripted, b'{"index":2,"return_value":20}\n{"index":0,"return_value":0}\n{"index":1,"return_value":1}\n')
    assert having(scripted.url, lambda c: c.map(SOURCE, [0, 1, 2], function="f", ordered=False)) == [20, 0, 1]


FAILED = (
    b'{"index":0,"return_value":5}\n{"index":1,"outcome":"trapped","exit_code":null,"message":"no"}\n'
    b'{"index":2,"return_value":6}\n'
)


@both
def test_a_call_that_failed(scripted: Scripted, having: Any) -> None:
    grid = Array(scripted, FAILED)
    given = having(scripted.url, lambda c: c.map(SOURCE, [1, 2, 3], function="f", return_exceptions=True))
    assert [str(each) for each in given] == ["5", "error[task_failed]: job 7 task 1 ended with trapped: no", "6"]
    assert not grid.cancelled
    with pytest.raises(wasmgrid.TaskFailed, match="deep trouble"):
        having(scripted.url, lambda c: c.map(SOURCE, [1, 2, 3], function="f"))
    assert grid.cancelled or having is in_a_loop  # there the job is found, and it has ended


@both
def test_a_source_that_does_not_compile_is_one_error(scripted: Scripted, having: Any) -> None:
    line = b'{"index":%d,"outcome":"build_failed","exit_code":null,"message":"the compiler refused the source"}\n'
    Array(
        scripted, b"".join(line % index for index in range(3)), state="failed", module_sha256=None,
        task_counts={"build_failed": 3}, build={"diagnostics": "main.c:1: no"},
    )  # fmt: skip
    for function in ("f", None):
        with pytest.raises(wasmgrid.BuildFailed, match=r"main\.c:1: no"):
            having(scripted.url, lambda c, f=function: c.map(SOURCE, ["1", "2", "3"], function=f))


@both
def test_who_stops_half_way_cancels_the_rest(scripted: Scripted, having: Any) -> None:
    grid = Array(scripted, FAILED, state="running", finished=False)
    assert having(scripted.url, lambda c: c.map(SOURCE, [1, 2, 3], function="f"), close=1) == [5]
    assert grid.cancelled >= 1


@both
@pytest.mark.parametrize(
    ("inputs", "how", "use", "lines"),
    [
        (["a b", {"k": [1.5]}], {}, "stdin", b'a b\n{"k":[1.5]}\n'),
        ([["a", 1], "b c"], {"as_args": True}, "json_args", b'["a",1]\n["b c"]\n'),
        (["a", "b"], {"args": ["--name={line}"]}, "line", b"a\nb\n"),
    ],
)
def test_programs_over_inputs(scripted: Scripted, having: Any, inputs: Any, how: Any, use: str, lines: bytes) -> None:
    results = (
        b'{"index":1,"outcome":"exited","exit_code":1,"stdout":"1"}\n{"index":0,"outcome":"exited","exit_code":0}\n'
    )
    grid = Array(scripted, results, count=2)
    given = having(scripted.url, lambda c: c.map(SOURCE, inputs, memory_mb=64, **how))
    assert [(each.index, each.ok, each.stdout) for each in given] == [(0, True, ""), (1, False, "1")]
    assert (grid.sent["lines"]["use"], grid.lines, grid.sent["memory_mb"]) == (use, lines, 64)


@both
def test_no_input_is_no_job(scripted: Scripted, having: Any) -> None:
    assert having(scripted.url, lambda c: c.map(SOURCE, [], function="f")) == []
    assert not scripted.asked


def test_what_cannot_be_an_input(scripted: Scripted) -> None:
    with wasmgrid.Client(scripted.url) as client:
        for inputs, says in (
            (["a\nb"], "more than one line"),
            ([b"x"], "not bytes"),
            ([{1, 2} - {1}, object()], "JSON"),
        ):
            with pytest.raises(InvalidField, match=says):
                client.map(SOURCE, inputs)


def test_a_map_knows_its_length_and_its_job(scripted: Scripted) -> None:
    Array(scripted, FAILED, state="running", finished=False)
    with wasmgrid.Client(scripted.url) as client, client.map(SOURCE, range(3), function="f") as mapped:
        assert (len(mapped), mapped.job_id, repr(mapped)) == (3, 7, "<Mapped: 3 tasks of job 7>")
