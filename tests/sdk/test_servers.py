"""Several servers of one grid: who is asked next, what is never asked twice, what is said where all are away."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.sdk.scripted import Answer, Asked, Scripted, serving

from wasmgrid.core.errors import IdempotencyConflict, Unavailable, Unreachable
from wasmgrid.core.job import JobSpec
from wasmgrid.sdk import calls, steps
from wasmgrid.sdk.async_client import AsyncClient
from wasmgrid.sdk.client import Client

JOB = {"id": 3, "state": "succeeded", "finished": True}


@pytest.fixture
def other(scripted: Scripted) -> Iterator[Scripted]:
    """A second server."""
    with serving() as script:
        yield script


@pytest.fixture
def gone() -> str:
    """The address of a server that is no more."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def sync(url: str, use: Callable[[Client], Any]) -> Any:
    with Client(url) as client:
        return use(client)


def in_a_loop(url: str, use: Callable[[Any], Any]) -> Any:
    async def go() -> Any:
        async with AsyncClient(url) as client:
            found = use(client)
            return [each async for each in found] if hasattr(found, "__anext__") else await found

    return asyncio.run(go())


both = pytest.mark.parametrize("having", [sync, in_a_loop])


@both
def test_the_next_server_is_asked_where_one_is_gone(scripted: Scripted, gone: str, having: Any) -> None:
    scripted.respond = lambda _: Answer(JOB)
    assert having(f"{gone},{scripted.url}", lambda client: client.status(3)).id == 3


def test_who_answered_is_asked_from_then_on(scripted: Scripted, gone: str) -> None:
    scripted.respond = lambda _: Answer(JOB)
    with Client(f"{gone},{scripted.url}") as client:
        assert client.url == gone
        client.status(3)
        assert client.url == scripted.url
        client.status(3)
    assert len({asked.connection for asked in scripted.asked}) == 1


@both
def test_a_server_on_its_way_out_is_no_reason_to_give_up(scripted: Scripted, other: Scripted, having: Any) -> None:
    problem = {"status": 503, "code": "unavailable", "detail": "the server is stopping"}
    scripted.respond = lambda _: Answer(problem, 503, "application/problem+json")
    other.respond = lambda _: Answer(JOB)
    assert having(f"{scripted.url},{other.url}", lambda client: client.status(3)).id == 3
    with pytest.raises(Unavailable, match="the server is stopping"):
        having(scripted.url, lambda client: client.status(3))


@both
def test_a_submission_carries_one_key_to_every_server(scripted: Scripted, other: Scripted, having: Any) -> None:
    scripted.respond = lambda _: Answer(cut=True)  # it may have been accepted: nobody knows
    other.respond = lambda _: Answer(JOB, 201)
    spec = JobSpec(module_sha256="ab" * 32)
    assert having(f"{scripted.url},{other.url}", lambda client: client.perform(steps.submit(spec, {}))).id == 3
    (first, second) = scripted.asked[-1], other.asked[-1]
    assert b'"idempotency_key"' in first.body
    assert first.body == second.body


@both
def test_what_must_not_be_done_twice_is_not_asked_of_another(
    scripted: Scripted, other: Scripted, gone: str, having: Any
) -> None:
    call = calls.add_credential("pool1", "worker", "UPUBLIC")
    scripted.respond = lambda _: Answer(cut=True)
    with pytest.raises(Unreachable):
        having(f"{scripted.url},{other.url}", lambda client: client.send(call))
    assert not other.asked
    other.respond = lambda _: Answer({"nats_url": "tls://grid:4222", "ca": "PEM"}, 201)
    made = having(f"{gone},{other.url}", lambda client: client.send(call))  # nothing was asked of the first
    assert (made.nats_url, made.ca) == ("tls://grid:4222", "PEM")


@both
def test_a_refusal_is_final(scripted: Scripted, other: Scripted, having: Any) -> None:
    problem = {"status": 409, "code": "idempotency_conflict", "detail": "the key was used"}
    scripted.respond = lambda _: Answer(problem, 409, "application/problem+json")
    with pytest.raises(IdempotencyConflict):
        having(f"{scripted.url},{other.url}", lambda client: client.status(3))
    assert not other.asked


@both
def test_all_are_gone(gone: str, having: Any, scripted: Scripted) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        second = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(Unreachable) as error:
        having(f"{gone},{second}", lambda client: client.status(3))
    assert gone in error.value.message
    assert second in error.value.message
    assert error.value.hint == "see what runs: wasmgrid doctor"


@both
def test_a_stream_is_opened_where_it_can_be(scripted: Scripted, gone: str, having: Any) -> None:
    events = (
        b'event: stdout\nid: 1-2-0\ndata: {"offset": 0, "data": "hi"}\n\nevent: end\ndata: {"state": "succeeded"}\n\n'
    )
    scripted.respond = lambda _: Answer(events, kind="text/event-stream")
    found = having(f"{gone},{scripted.url}", lambda client: client.stream(calls.logs(3)))
    assert [each.stream for each in found] == ["stdout", "end"]


def test_after_a_stream_that_broke_another_server_is_asked(scripted: Scripted, other: Scripted) -> None:
    """A server that dies in mid-stream: what comes next begins with the one that lives."""
    event = b'event: stdout\nid: 1-2-0\ndata: {"offset": 0, "data": "hi"}\n\n'
    scripted.respond = lambda _: Answer(event, kind="text/event-stream", broken=True)
    urls = f"{scripted.url},{other.url}"
    with Client(urls) as client:
        with pytest.raises(Unreachable):
            list(client.stream(calls.logs(3)))
        assert client.url == other.url

    async def moved_on() -> str:
        async with AsyncClient(urls) as client:
            with pytest.raises(Unreachable):
                [_ async for _ in client.stream(calls.logs(3))]
            return client.url

    assert asyncio.run(moved_on()) == other.url


def test_many_calls_at_once_move_on_together(scripted: Scripted, other: Scripted) -> None:
    def refuse(_: Asked) -> Answer:
        return Answer({"status": 503, "code": "unavailable", "detail": "stopping"}, 503, "application/problem+json")

    scripted.respond = refuse
    other.respond = lambda _: Answer(JOB)

    async def many() -> tuple[list[int], str]:
        async with AsyncClient(f"{scripted.url},{other.url}") as client:
            found = await asyncio.gather(*(client.status(3) for _ in range(7)))
            return [job.id for job in found], client.url

    assert asyncio.run(many()) == ([3] * 7, other.url)
