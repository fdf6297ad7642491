"""Connections that misbehave before there is a request: bounded in bytes and in time, and nobody else notices."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from litestar import Litestar, Request, get, post

from wasmgrid.server import http
from wasmgrid.server.listening import ApiServer, bind

Talk = Callable[[int, ApiServer], Awaitable[None]]
DEADLINE_S = 60.0


@get("/")
async def _hello() -> str:
    return "hello"


@post("/")
async def _length(request: Request[Any, Any, Any]) -> int:
    return len(await request.body())


def _serving(talk: Talk) -> None:
    async def run() -> None:
        with bind("127.0.0.1", 0) as listener:
            api = ApiServer(Litestar([_hello, _length], openapi_config=None))
            task = asyncio.create_task(api.serve_on(listener))
            try:
                async with asyncio.timeout(DEADLINE_S):
                    await talk(listener.getsockname()[1], api)
            finally:
                await api.stop()
                await task

    asyncio.run(run())


async def _exchange(port: int, *pieces: bytes) -> bytes:
    """Everything that comes back until the other side closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
        with contextlib.suppress(ConnectionError):
            return await reader.read()
        return b""
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


def test_usual_requests_in_any_pieces() -> None:
    async def talk(port: int, _api: ApiServer) -> None:
        assert (await _exchange(port, REQUEST)).endswith(b"hello")
        assert (await _exchange(port, *(REQUEST[at : at + 1] for at in range(len(REQUEST))))).endswith(b"hello")
        head = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2000000\r\n\r\n"
        assert (await _exchange(port, head, bytes(2_000_000))).endswith(b"2000000")
        twice = REQUEST.replace(b"close", b"keep-alive") + REQUEST
        assert (await _exchange(port, twice)).count(b"hello") == 2

    _serving(talk)


@pytest.mark.parametrize("endless", [b"X: " + b"a" * 65536, b"a" * 65536], ids=["many headers", "one header"])
def test_hostile_54_a_head_without_end_is_refused(endless: bytes) -> None:
    async def talk(port: int, _api: ApiServer) -> None:
        ending = b"\r\n" if endless.startswith(b"X") else b""
        answer = await _exchange(port, b"GET / HTTP/1.1\r\nHost: a\r\nY: ", *[endless + ending] * 200)
        assert answer.startswith(b"HTTP/1.1 431") or not answer  # reset while still sending
        assert (await _exchange(port, REQUEST)).endswith(b"hello")

    _serving(talk)


@pytest.mark.parametrize("said", [b"", b"GE", b"GET / HTTP/1.1\r\nHost:"])
def test_hostile_54_a_head_that_does_not_come_is_not_waited_for(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "HEAD_S", 0.1)

    async def talk(port: int, _api: ApiServer) -> None:
        assert (await _exchange(port, said)).startswith(b"HTTP/1.1 408")

    _serving(talk)


@pytest.mark.parametrize("garbage", [b"\0\0\0\0\r\n\r\n", b"GET \xff HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01"])
def test_what_is_no_http_is_refused(garbage: bytes) -> None:
    async def talk(port: int, _api: ApiServer) -> None:
        assert (await _exchange(port, garbage)).startswith(b"HTTP/1.1 400")

    _serving(talk)


def test_a_stop_waits_for_no_idle_connection() -> None:
    async def talk(port: int, api: ApiServer) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST.replace(b"close", b"keep-alive"))
        await reader.readuntil(b"hello")
        await api.stop()
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()

    _serving(talk)
