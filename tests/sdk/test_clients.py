"""Both clients, held to the same: what they send, what they make of answers, what they do when the line breaks."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.sdk.scripted import Answer, Asked, Scripted

from wasmgrid.core.errors import InputNotFound, JobNotFound, ProtocolMismatch, TooLarge, Unreachable, WasmgridError
from wasmgrid.core.job import Base64, Input, JobSpec, Source
from wasmgrid.sdk import blobs, calls, steps
from wasmgrid.sdk.async_client import AsyncClient
from wasmgrid.sdk.calls import Call, Download, Stream
from wasmgrid.sdk.client import Client
from wasmgrid.sdk.multipart import INLINE_SOURCE_BYTES

JOB = {"id": 3, "name": "x", "state": "succeeded", "finished": True, "brand_new_key": {"deep": [1]}}


class Sync:
    """The sync client, as the tests drive both."""

    @staticmethod
    def send(url: str, call: Call[Any]) -> Any:
        with Client(url) as client:
            return client.send(call)

    @staticmethod
    def perform(url: str, procedure: steps.Steps[Any]) -> Any:
        with Client(url) as client:
            return client.perform(procedure)

    @staticmethod
    def stream(url: str, call: Stream[Any]) -> list[Any]:
        with Client(url) as client:
            return list(client.stream(call))

    @staticmethod
    def download(url: str, call: Download) -> bytes:
        into = io.BytesIO()
        with Client(url) as client:
            assert client.download(call, into) == len(into.getvalue())
        return into.getvalue()


class Async:
    """The async client, each use in a loop of its own."""

    @staticmethod
    def _with(url: str, use: Callable[[AsyncClient], Any]) -> Any:
        async def go() -> Any:
            async with AsyncClient(url) as client:
                return await use(client)

        return asyncio.run(go())

    @classmethod
    def send(cls, url: str, call: Call[Any]) -> Any:
        return cls._with(url, lambda client: client.send(call))

    @classmethod
    def perform(cls, url: str, procedure: steps.Steps[Any]) -> Any:
        return cls._with(url, lambda client: client.perform(procedure))

    @classmethod
    def stream(cls, url: str, call: Stream[Any]) -> list[Any]:
        async def collect(client: AsyncClient) -> list[Any]:
            return [said async for said in client.stream(call)]

        found: list[Any] = cls._with(url, collect)
        return found

    @classmethod
    def download(cls, url: str, call: Download) -> bytes:
        into = io.BytesIO()
        cls._with(url, lambda client: client.download(call, into))
        return into.getvalue()


both = pytest.mark.parametrize("client", [Sync, Async])


@both
def test_what_a_call_sends(scripted: Scripted, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WASMGRID_TOKEN", "sesame")
    scripted.respond = lambda _: Answer({"jobs": [JOB], "next_cursor": "c"})
    page = client.send(scripted.url, calls.jobs(name="a b&c", limit=5))
    assert page.jobs[0].id == 3
    assert page.next_cursor == "c"
    (asked,) = scripted.asked
    assert (asked.method, asked.target) == ("GET", "/v1/jobs?name=a+b%26c&limit=5")
    assert {key.lower(): value for key, value in asked.headers.items()}["authorization"] == "Bearer sesame"


@both
def test_new_keys_and_states_are_tolerated(scripted: Scripted, client: Any) -> None:
    future = JOB | {"state": "hibernating", "finished": False, "result": {"outcome": "evaporated", "new": 1}}
    scripted.respond = lambda _: Answer(future)
    job = client.send(scripted.url, calls.job("last"))
    assert job.state == "hibernating"
    assert not job.done
    assert job.result.process_exit_code == 125


@both
def test_problems_are_raised(scripted: Scripted, client: Any) -> None:
    problem = {"status": 404, "code": "job_not_found", "detail": "no job 99", "hint": "latest is 3"}
    scripted.respond = lambda _: Answer(problem, 404, "application/problem+json")
    with pytest.raises(JobNotFound, match="no job 99"):
        client.send(scripted.url, calls.job(99))
    with pytest.raises(JobNotFound):
        client.stream(scripted.url, calls.events(99))
    with pytest.raises(JobNotFound):
        client.download(scripted.url, calls.module(99))


@both
def test_absent_is_an_answer_where_it_is_asked_for(scripted: Scripted, client: Any) -> None:
    scripted.respond = lambda _: Answer(b"", 404)
    assert client.send(scripted.url, calls.has_blob("inputs", "a" * 64)) is False
    scripted.respond = lambda _: Answer(b"", 200)
    assert client.send(scripted.url, calls.has_blob("inputs", "a" * 64)) is True


@both
def test_nobody_there(client: Any, scripted: Scripted) -> None:
    with pytest.raises(Unreachable, match=r"http://127\.0\.0\.1:1 cannot be reached .*refused") as error:
        client.send("http://127.0.0.1:1", calls.version())
    assert error.value.hint
    with pytest.raises(Unreachable):
        client.stream("127.0.0.1:1", calls.logs(1))


@both
def test_a_connection_cut_in_the_middle(scripted: Scripted, client: Any) -> None:
    scripted.respond = lambda _: Answer(cut=True)
    with pytest.raises(Unreachable):
        client.send(scripted.url, calls.version())


@both
def test_upload_on_demand(scripted: Scripted, client: Any) -> None:
    module, given = blobs.of_bytes(b"\0asm" + b"x" * 600_000), blobs.of_bytes(b"data")
    have: set[str] = set()

    def respond(asked: Asked) -> Answer:
        name = asked.target.rpartition("/")[2]
        if asked.method == "PUT":
            have.add(name)
            return Answer({})
        if asked.method == "HEAD":
            return Answer(b"", 200 if name in have else 404)
        for blob, code in ((module, "module_not_found"), (given, "input_not_found")):
            if blob.sha256 not in have:
                return Answer({"status": 422, "code": code, "detail": "missing"}, 422)
        return Answer(JOB, 201)

    scripted.respond = respond
    spec = JobSpec(module_sha256=module.sha256, inputs=[Input(path="/in/x", sha256=given.sha256)])
    job = client.perform(scripted.url, steps.submit(spec, {module.sha256: module, given.sha256: given}))
    assert job.id == 3
    did = [(asked.method, asked.target.split("/")[2]) for asked in scripted.asked]
    assert did == [
        ("POST", "jobs"), ("PUT", "modules"), ("POST", "jobs"), ("HEAD", "inputs"), ("PUT", "inputs"), ("POST", "jobs"),
    ]  # fmt: skip
    bodies = [asked.body for asked in scripted.asked if asked.method == "PUT"]
    assert bodies == [b"".join(module.chunks()), b"data"]
    keys = {msgspec.json.decode(asked.body)["idempotency_key"] for asked in scripted.asked if asked.method == "POST"}
    assert len(keys) == 1  # it is one submission, however often it is sent


@both
def test_what_nobody_has_is_an_error(scripted: Scripted, client: Any) -> None:
    scripted.respond = lambda asked: (
        Answer({"status": 422, "code": "input_not_found", "detail": "gone"}, 422)
        if asked.method == "POST"
        else Answer({})
    )
    spec = JobSpec(module_sha256="a" * 64, inputs=[Input(path="/in/x", sha256="b" * 64)])
    with pytest.raises(InputNotFound):
        client.perform(scripted.url, steps.submit(spec, {}))


@both
def test_log_events(scripted: Scripted, client: Any) -> None:
    body = (
        b': still here\n\nid: 7-2-0\nevent: stdout\ndata: {"offset":0,"data":"hi"}\n\n'
        b'event: something new\ndata: 1\n\nid: 7-2-1\nevent: stderr\ndata: {"offset":0,"base64":"/w=="}\n\n'
        b'id: 8-0-0\nevent: restart\ndata: {"attempt":8}\n\nevent: end\ndata: {"state":"succeeded"}\n\n'
    )
    scripted.respond = lambda _: Answer(body, kind="text/event-stream")
    found = client.stream(scripted.url, calls.logs(3, after="7-0-0"))
    assert [(chunk.stream, chunk.data, chunk.id) for chunk in found] == [
        ("stdout", b"hi", "7-2-0"), ("stderr", b"\xff", "7-2-1"), ("restart", b"", "8-0-0"), ("end", b"", "8-0-0"),
    ]  # fmt: skip
    assert found[-1].state == "succeeded"
    headers = {key.lower(): value for key, value in scripted.asked[0].headers.items()}
    assert headers["last-event-id"] == "7-0-0"


@both
def test_downloads(scripted: Scripted, client: Any) -> None:
    scripted.respond = lambda _: Answer(b"x" * 1_000_000, kind="application/wasm")
    assert len(client.download(scripted.url, calls.artifact(3, "dir/a b.txt"))) == 1_000_000
    assert scripted.asked[0].target == "/v1/jobs/3/artifacts/dir/a%20b.txt"


@both
def test_waiting_asks_until_it_is_finished(scripted: Scripted, client: Any) -> None:
    answers = [JOB | {"state": "running", "finished": False}] * 2 + [JOB]
    scripted.respond = lambda _: Answer(answers.pop(0))
    assert client.perform(scripted.url, steps.wait("last", None)).done
    assert [asked.target for asked in scripted.asked] == [
        "/v1/jobs/last?wait=30", "/v1/jobs/3?wait=30", "/v1/jobs/3?wait=30",
    ]  # fmt: skip


def test_one_connection_serves_many_calls_and_is_replaced_when_it_breaks(scripted: Scripted) -> None:
    cut = False

    def respond(_: Asked) -> Answer:
        nonlocal cut
        cut = not cut and len(scripted.asked) == 3
        return Answer(cut=True) if cut else Answer({"version": "1"})

    scripted.respond = respond
    with Client(scripted.url) as client:
        for _ in range(3):
            assert client.send(calls.version()).version == "1"
    ports = [asked.connection for asked in scripted.asked]
    assert len(ports) == 4
    assert ports[0] == ports[1] == ports[2] != ports[3]


def test_a_large_source_goes_as_multipart() -> None:
    files: dict[str, str | Base64] = {"main.c": "x" * INLINE_SOURCE_BYTES, 'dir/a "b".h': "é"}
    call = calls.submit(JobSpec(source=Source(files=files, language="c"), name="n", idempotency_key="k"))
    boundary = call.content_type.partition("boundary=")[2].encode()
    assert isinstance(call.body, bytes)
    parts = call.body.split(b"--" + boundary)
    assert parts[-1] == b"--\r\n"
    assert msgspec.json.decode(parts[1].partition(b"\r\n\r\n")[2]) == {
        "name": "n", "idempotency_key": "k",
        "source": {"files": {}, "language": "c", "entry": None, "build_flags": []},
    }  # fmt: skip
    assert b'filename="dir/a %22b%22.h"' in parts[3]
    assert parts[3].endswith("\r\n\r\né\r\n".encode())


def test_defaults_are_not_sent() -> None:
    call = calls.submit(JobSpec(module_sha256="a" * 64, cpus=2, idempotency_key="k"))
    assert isinstance(call.body, bytes)
    assert msgspec.json.decode(call.body) == {"module_sha256": "a" * 64, "cpus": 2.0, "idempotency_key": "k"}


def test_a_refusal_in_the_middle_of_an_upload_is_heard(scripted: Scripted) -> None:
    scripted.respond = lambda _: Answer({"status": 413, "code": "too_large", "detail": "no"}, 413)
    with Client(scripted.url) as client, pytest.raises(TooLarge):
        client.send(calls.put_blob("inputs", blobs.of_bytes(b"x" * 10)))


@pytest.mark.parametrize(
    ("used", "loads"),
    [
        ("wasmgrid", {"wasmgrid"}),
        ("wasmgrid.Client, wasmgrid.Executor, wasmgrid.Job, wasmgrid.BuildFailed", {"wasmgrid", "msgspec"}),
    ],
)
def test_importing_is_light(used: str, loads: set[str]) -> None:
    program = (
        "import sys\nbefore = set(sys.modules)\n"  # what the environment itself loads at its start
        f"import wasmgrid\n{used}\n"
        "found = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(*sorted(found - set(sys.stdlib_module_names)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) - {"typing_extensions"} == loads  # msgspec's own, where it is there


def test_httpx_is_loaded_by_the_async_client_alone() -> None:
    program = (
        "import sys, wasmgrid\nwasmgrid.Client\nassert 'httpx' not in sys.modules\n"
        "wasmgrid.AsyncClient\nassert 'httpx' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@both
def test_an_answer_of_something_else_is_told(scripted: Scripted, client: Any) -> None:
    scripted.respond = lambda _: Answer(b"<html>hello", kind="text/html")
    with pytest.raises(ProtocolMismatch, match="not understood"):
        client.send(scripted.url, calls.job(1))


def test_a_full_disk_is_not_the_servers_fault(scripted: Scripted) -> None:
    scripted.respond = lambda _: Answer(b"x" * 100_000)
    with (
        Client(scripted.url) as client,
        Path("/dev/full").open("wb", buffering=0) as full,
        pytest.raises(OSError, match="No space left"),
    ):
        client.download(calls.module(1), full)


def test_errors_are_ours(scripted: Scripted) -> None:
    scripted.respond = lambda _: Answer(b"<html>", 502, "text/html")
    with Client(scripted.url) as client, pytest.raises(WasmgridError, match="502"):
        client.send(calls.version())


def test_all_jobs_page_by_page(scripted: Scripted) -> None:
    def respond(asked: Asked) -> Answer:
        last = "cursor=2" in asked.target
        return Answer({"jobs": [{"id": 1}] if last else [{"id": 3}, {"id": 2}], "next_cursor": None if last else "2"})

    async def collect() -> list[int]:
        async with AsyncClient(scripted.url) as client:
            return [job.id async for job in client.jobs(state="failed")]

    scripted.respond = respond
    with Client(scripted.url) as client:
        assert [job.id for job in client.jobs(state="failed")] == [3, 2, 1]
    assert asyncio.run(collect()) == [3, 2, 1]
    assert [asked.target for asked in scripted.asked[:2]] == [
        "/v1/jobs?state=failed&limit=100", "/v1/jobs?state=failed&limit=100&cursor=2",
    ]  # fmt: skip
