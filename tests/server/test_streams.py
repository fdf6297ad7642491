"""Live output and changes as events: replayed from an offset, shared by followers, resumable, ended on shutdown."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from tests.server.bench import AUTHORISED, DEADLINE_S, TOKEN, BenchWorker, bench, listening, result, until

from wasmgrid.core import wire
from wasmgrid.core.job import TaskResult
from wasmgrid.core.outcome import Outcome, OutcomeKind
from wasmgrid.server import sending, tail
from wasmgrid.server.app import end_streams
from wasmgrid.server.log_frames import frame

Event = tuple[str, dict[str, Any], str]


async def events_of(answer: httpx.Response) -> AsyncIterator[Event]:
    """(type, data, id) of each event."""
    kind, data, ident = "", "", ""
    async for line in answer.aiter_lines():
        if line.startswith("event: "):
            kind = line[7:]
        elif line.startswith("data: "):
            data = line[6:]
        elif line.startswith("id: "):
            ident = line[4:]
        elif not line and kind:
            yield kind, json.loads(data), ident
            kind, data, ident = "", "", ""


class Printer(BenchWorker):
    """A worker whose one task prints what the test says, and ends when it says so."""

    def __init__(self) -> None:
        super().__init__(run=self.perform)
        self.attempt = 0
        self.started = asyncio.Event()
        self.finish = asyncio.Event()

    async def perform(self, _: BenchWorker, assign: wire.Assign) -> TaskResult | None:
        self.attempt = assign.attempt
        self.started.set()
        await self.finish.wait()
        return result(assign, stdout=bytes(self.output[assign.attempt])[: 1 << 16])


async def collect(client: httpx.AsyncClient, path: str, **params: Any) -> list[Event]:
    async with client.stream("GET", path, params=params) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        return [event async for event in events_of(answer)]


def text(events: list[Event]) -> str:
    return "".join(data["data"] for kind, data, _ in events if kind == "stdout")


def test_a_log_is_replayed_then_live_then_ended(tmp_path: Path) -> None:
    async def story() -> None:
        worker = Printer()
        async with (
            bench(tmp_path, worker=worker) as grid,
            listening(grid.app) as url,
            httpx.AsyncClient(base_url=url, headers=AUTHORISED, timeout=DEADLINE_S) as client,
        ):
            await grid.submit()
            await worker.started.wait()
            worker.print(worker.attempt, b"one\n")
            async with client.stream("GET", "/v1/jobs/1/logs") as answer:
                events = events_of(answer)
                kind, data, ident = await anext(events)
                assert (kind, data) == ("stdout", {"offset": 0, "data": "one\n"})
                assert ident == f"{worker.attempt}-4-0"
                worker.print(worker.attempt, "zwei ü\n".encode())
                _, data, _ = await anext(events)
                assert data == {"offset": 4, "data": "zwei ü\n"}
                worker.finish.set()
                kind, data, _ = await anext(events)
                assert kind == "end"
                assert data["outcome"] == "exited"
                assert data["state"] == "succeeded"
            # once it is over the store tells the same story, from any offset
            assert text(await collect(client, "/v1/jobs/1/logs")) == "one\nzwei ü\n"
            assert text(await collect(client, "/v1/jobs/1/logs", stdout_offset=4)) == "zwei ü\n"
            assert text(await collect(client, "/v1/jobs/1/logs", follow="false")) == "one\nzwei ü\n"
            client.headers["Last-Event-ID"] = ident
            assert text(await collect(client, "/v1/jobs/last/logs")) == "zwei ü\n"
            client.headers["Last-Event-ID"] = "999-1-1"
            again = await collect(client, "/v1/jobs/1/logs")
            assert again[0][0] == "restart"
            assert text(again) == "one\nzwei ü\n"

    asyncio.run(story())


def test_one_pull_serves_all_followers(tmp_path: Path) -> None:
    async def story() -> None:
        worker = Printer()
        async with (
            bench(tmp_path, worker=worker) as grid,
            listening(grid.app) as url,
            httpx.AsyncClient(
                base_url=url, headers=AUTHORISED, timeout=DEADLINE_S, limits=httpx.Limits(max_connections=None)
            ) as client,
        ):
            await grid.submit()
            followers = [asyncio.create_task(collect(client, "/v1/jobs/1/logs")) for _ in range(40)]
            await until(lambda: grid.app.state.service.streams.open == 40)
            for number in range(20):
                worker.print(worker.attempt, f"line {number}\n".encode())
                await asyncio.sleep(0)
            worker.finish.set()
            logs = await asyncio.gather(*followers)
            expected = "".join(f"line {number}\n" for number in range(20))
            assert all(text(log) == expected for log in logs)
            assert all(log[-1][0] == "end" for log in logs)
            assert worker.tails < 40 + 20  # a few pulls per line at most, not one per follower

    asyncio.run(story())


def test_hostile_73_a_slow_reader_is_dropped_and_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "STALL_S", 0.5)
    monkeypatch.setattr(tail, "WINDOW_BYTES", 128 * 1024)

    async def story() -> None:
        worker = Printer()
        async with (
            bench(tmp_path, worker=worker) as grid,
            listening(grid.app) as url,
            httpx.AsyncClient(base_url=url, headers=AUTHORISED, timeout=DEADLINE_S) as client,
        ):
            await grid.submit()
            await worker.started.wait()
            streams = grid.app.state.service.streams
            host, port = url.removeprefix("http://").split(":")
            slow = socket.socket()
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(slow, (host, int(port)))
            request = f"GET /v1/jobs/1/logs HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
            await loop.sock_sendall(slow, request.encode())
            quick = asyncio.create_task(collect(client, "/v1/jobs/1/logs"))
            await until(lambda: streams.open == 2)
            async with asyncio.timeout(DEADLINE_S):
                line = b"x" * 1023 + b"\n"
                written = 0
                while streams.open == 2:  # the slow one takes nothing; it goes, the quick one stays
                    worker.print(worker.attempt, line * 64)
                    written += len(line) * 64
                    await asyncio.sleep(0.02)
            slow.close()
            worker.finish.set()
            # its output was all live; what the store keeps of it here is its head
            log = await quick
            assert log[-1][0] == "end"
            assert len(text(log)) >= written - tail.WINDOW_BYTES
            resumed = await collect(client, "/v1/jobs/1/logs", stdout_offset=1024)
            assert resumed[0][1]["offset"] == 1024

    asyncio.run(story())


def test_a_new_attempt_begins_its_output_again(tmp_path: Path) -> None:
    async def story() -> None:
        worker = Printer()

        async def lost_once(bench_worker: BenchWorker, assign: wire.Assign) -> TaskResult | None:
            if not worker.attempt:
                worker.attempt = assign.attempt
                worker.started.set()
                await worker.finish.wait()
                lost = Outcome(kind=OutcomeKind.LOST, message="its runner crashed")
                return msgspec.structs.replace(result(assign), outcome=lost)
            bench_worker.print(assign.attempt, b"second\n")
            await asyncio.sleep(0.2)
            return result(assign, stdout=b"second\n")

        worker.run = lost_once
        async with (
            bench(tmp_path, worker=worker) as grid,
            listening(grid.app) as url,
            httpx.AsyncClient(base_url=url, headers=AUTHORISED, timeout=DEADLINE_S) as client,
        ):
            await grid.submit()
            await worker.started.wait()
            worker.print(worker.attempt, b"first\n")
            async with client.stream("GET", "/v1/jobs/1/logs") as answer:
                events = events_of(answer)
                assert (await anext(events))[1]["data"] == "first\n"
                worker.finish.set()
                rest = [event async for event in events]
            assert [kind for kind, _, _ in rest] == ["restart", "stdout", "end"]
            assert rest[1][1] == {"offset": 0, "data": "second\n"}
            attempts = (await client.get("/v1/jobs/1/attempts")).json()["attempts"]
            assert [each["outcome"] for each in attempts] == [None, "exited"]
            assert attempts[0]["reason"]

    asyncio.run(story())


def test_events_tell_of_every_state_and_end(tmp_path: Path) -> None:
    async def story() -> None:
        worker = Printer()
        async with (
            bench(tmp_path, worker=worker) as grid,
            listening(grid.app) as url,
            httpx.AsyncClient(base_url=url, headers=AUTHORISED, timeout=DEADLINE_S) as client,
        ):
            await grid.submit()
            await worker.started.wait()
            async with client.stream("GET", "/v1/jobs/1/events") as answer:
                events = events_of(answer)
                kind, first, _ = await anext(events)
                assert (kind, first["finished"]) == ("job", False)
                worker.finish.set()
                rest = [event async for event in events]
            assert rest[-2][1]["state"] == "succeeded"
            assert rest[-2][1]["result"]["exit_code"] == 0
            assert rest[-1][0] == "end"

    asyncio.run(story())


def test_a_server_that_stops_ends_its_streams(tmp_path: Path) -> None:
    async def story() -> None:
        worker = Printer()
        async with (
            bench(tmp_path, worker=worker) as grid,
            listening(grid.app) as url,
            httpx.AsyncClient(base_url=url, headers=AUTHORISED, timeout=DEADLINE_S) as client,
        ):
            await grid.submit()
            following = asyncio.create_task(collect(client, "/v1/jobs/1/logs"))
            watching = asyncio.create_task(collect(client, "/v1/jobs/1/events"))
            await until(lambda: grid.app.state.service.streams.open == 2)
            end_streams(grid.app)
            assert "end" not in [kind for kind, _, _ in await following]
            await watching
            assert grid.app.state.service.streams.open == 0

    asyncio.run(story())


def test_streams_of_unknown_jobs_are_404(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path) as grid:
            for path in ("logs", "events"):
                assert (await grid.http.get(f"/v1/jobs/7/{path}")).status_code == 404

    asyncio.run(story())


def test_frames_cut_no_character_and_keep_bytes_that_are_no_text() -> None:
    euro = "€".encode()
    events, offsets = frame(1, (0, 0), b"a" + euro[:2], b"")
    assert b'"data":"a"' in events
    assert offsets == (1, 0)
    assert frame(1, offsets, euro[:2], b"") == (b"", offsets)
    events, offsets = frame(1, offsets, euro[:2], b"", final=True)
    assert b'"base64"' in events
    assert offsets == (3, 0)
    events, offsets = frame(1, (0, 5), b"", b"\xff\xfe")
    assert b"event: stderr" in events
    assert b'"base64":"//4="' in events
    assert offsets == (0, 7)
