"""What a worker keeps of an attempt until it is told, and how it tells."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from wasmgrid.core import wire
from wasmgrid.core.errors import Unreachable
from wasmgrid.core.job import Output, TaskRange, TaskResult
from wasmgrid.core.limits import Limits
from wasmgrid.core.outcome import exited
from wasmgrid.core.resources import Resources
from wasmgrid.fabric.connection import Fabric
from wasmgrid.worker import outbox
from wasmgrid.worker.attempt import Attempt
from wasmgrid.worker.outbox import Outbox

LEAVE = wire.Leave(worker_id="w", incarnation="i")


def result(index: int, *, stdout: bytes = b"") -> TaskResult:
    return TaskResult(
        job_id=1, index=index, attempt=7, worker_id="w", outcome=exited(0), stdout=Output(data=stdout, size=len(stdout))
    )


def calls(first: int, count: int) -> TaskRange:
    return TaskRange(job_id=1, first=first, count=count, attempt=7, worker_id="w", outcome=exited(0))


def attempt(first: int, count: int, told: list[Attempt]) -> Attempt:
    work = wire.RunWork(
        job_id=1,
        first=first,
        count=count,
        tenant="t",
        module_sha256="0" * 64,
        need=Resources(milli_cpus=1, memory_mb=1, disk_mb=1, slots=1),
        limits=Limits(),
    )
    return Attempt(7, work, told.append)


def test_what_came_of_an_attempt_is_taken_once() -> None:
    told: list[Attempt] = []
    one = attempt(10, 10, told)
    assert one.take() is None
    one.end([result(10), result(11), result(13)], [calls(14, 3)])
    one.give_back([(17, 2), (10, 1)])  # 10 has ended
    assert one.left.runs() == [(12, 1), (19, 1)]
    news = one.take()
    assert news is not None
    assert news.ended == [(10, 2), (13, 1), (14, 3)]
    assert news.rest == one.returned == [(17, 2)]
    assert one.take() is None
    one.end([result(12), result(19)])
    assert not one.left
    assert told == [one] * 3
    held = one.held()
    assert (held.index, held.count, one.several) == (10, 10, True)


class Sent:
    """A fabric that keeps what is said; out of reach while `down`."""

    def __init__(self) -> None:
        self.said: list[Any] = []
        self.down = False

    async def publish(self, subject: str, message: wire.Message) -> None:
        if self.down:
            raise Unreachable("down")
        self.said.append(message)


def say(*messages: wire.Message, down: tuple[wire.Message, ...] = ()) -> list[Any]:
    """What arrives of these, which were all put at once, after others that were lost."""

    async def run() -> list[Any]:
        fabric = Sent()
        box = Outbox(cast("Fabric", fabric), "leader")
        sending = asyncio.create_task(box.run())
        fabric.down = True
        for message in down:
            box.put(message)
        await box.sent(within_s=30.0)
        fabric.down = False
        for message in messages:
            box.put(message)
        await box.sent(within_s=30.0)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        return fabric.said

    return asyncio.run(run())


def results(*indexes: int, stdout: bytes = b"") -> wire.Results:
    return wire.Results(worker_id="w", incarnation="i", tasks=[result(index, stdout=stdout) for index in indexes])


def test_results_that_wait_together_travel_together_and_words_keep_their_order() -> None:
    said = say(results(1, 2), results(3), LEAVE, results(4), down=(results(0),))
    assert [[task.index for task in one.tasks] if isinstance(one, wire.Results) else one for one in said] == [
        [1, 2, 3],
        LEAVE,
        [4],
    ]


def test_no_more_than_fits_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "_TOGETHER_BYTES", 10_000)
    said = say(*[results(index, stdout=bytes(3000)) for index in range(5)], results(5, stdout=bytes(20_000)))
    assert [len(one.tasks) for one in said] == [2, 2, 1, 1]
    assert [task.index for one in said for task in one.tasks] == list(range(6))
