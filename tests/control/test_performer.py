"""What the performer does with what was decided in one turn: one commit for records, one message for acks."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from wasmgrid.control.meter import Meter
from wasmgrid.control.performer import Performer
from wasmgrid.control.watchers import End, Watchers
from wasmgrid.core import wire
from wasmgrid.core.errors import Unavailable
from wasmgrid.core.job import TaskResult
from wasmgrid.core.lifecycle import JobState
from wasmgrid.core.outcome import exited
from wasmgrid.core.ranges import Ranges
from wasmgrid.protocol import events

DEADLINE_S = 30.0


class Rig:
    """A performer over a store and a fabric that note what they are asked; the store refuses task 9, or everything."""

    def __init__(self, *, full: bool = False) -> None:
        self.full = full
        self.records: list[dict[str, Any]] = []
        self.sent: list[wire.Message] = []
        self.told: list[events.Event] = []
        self.ends: list[End] = []
        here = cast("Any", self)
        self.meter = Meter()
        self.performer = Performer(
            store=here,
            fabric=here,
            term=1,
            tell=self.told.append,
            end=lambda: None,
            committed=self.ends.append,
            meter=self.meter,
        )

    async def record(self, _term: int, **given: Any) -> dict[int, Ranges]:
        self.records.append(given)
        if self.full:
            raise Unavailable("the disk is full")
        return {result.job_id: Ranges([(9, 1)]) for result in given["results"]}

    async def publish(self, _subject: str, message: wire.Message) -> None:
        self.sent.append(message)

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.001)


def result(job_id: int, index: int = 0) -> TaskResult:
    return TaskResult(job_id=job_id, index=index, attempt=job_id, worker_id="w", outcome=exited(0))


def write(token: int, *results: TaskResult) -> events.Write:
    finished = [events.FinishedJob(job_id=each.job_id, state=JobState.SUCCEEDED) for each in results]
    return events.Write(token, events.Record(results=list(results), finished=finished))


def test_records_of_one_turn_share_a_commit_and_each_is_told() -> None:
    async def run() -> None:
        rig = Rig()
        rig.performer.perform(write(1, result(1)))
        rig.performer.perform(write(2, result(2), result(3)))
        await rig.until(lambda: len(rig.told) == 2)
        assert [[each.job_id for each in record["results"]] for record in rig.records] == [[1, 2, 3]]
        assert rig.told == [events.Written(1), events.Written(2)]
        assert [(end.finished.job_id, end.result.job_id) for end in rig.ends] == [(1, 1), (2, 2), (3, 3)]
        await rig.performer.stop()

    asyncio.run(run())


def test_results_of_an_array_wait_for_others_until_one_ends_its_job() -> None:
    async def run() -> None:
        rig = Rig()
        for token in (1, 2):
            body = events.Record(results=[result(5, index=token)])
            rig.performer.perform(events.Write(token, body))
        await asyncio.sleep(0)
        assert rig.records == []
        rig.performer.perform(write(3, result(6)))
        await rig.until(lambda: len(rig.told) == 3)
        assert [[each.index for each in record["results"]] for record in rig.records] == [[1, 2, 0]]
        rig.performer.perform(events.Write(4, events.Record(results=[result(5, index=4)])))
        await rig.until(lambda: rig.told[-1] == events.Written(4))
        await rig.performer.stop()

    asyncio.run(run())


def test_a_result_that_was_refused_is_nobodys_end() -> None:
    async def run() -> None:
        rig = Rig()
        rig.performer.perform(write(1, result(1, index=9)))
        await rig.until(lambda: rig.told == [events.Written(1)])
        assert rig.ends == []
        await rig.performer.stop()

    asyncio.run(run())


def test_a_commit_that_failed_is_told_for_each_record() -> None:
    async def run() -> None:
        rig = Rig(full=True)
        rig.performer.perform(write(1, result(1)))
        rig.performer.perform(write(2, result(2)))
        await rig.until(lambda: len(rig.told) == 2)
        assert rig.told == [events.WriteFailed(1), events.WriteFailed(2)]
        assert rig.ends == []
        await rig.performer.stop()

    asyncio.run(run())


def test_acknowledgements_to_one_worker_travel_together() -> None:
    async def run() -> None:
        rig = Rig()
        rig.performer.start()
        for ack in (
            wire.ResultsAck(attempts=[1], term=1),
            wire.ResultsAck(attempts=[2, 3], term=1, parts=[(4, 0, 5)]),
        ):
            rig.performer.perform(events.ToWorker("w", ack))
        await rig.until(lambda: rig.sent)
        assert rig.sent == [wire.ResultsAck(attempts=[1, 2, 3], term=1, parts=[(4, 0, 5)])]
        await rig.performer.stop()

    asyncio.run(run())


def test_whoever_waits_is_handed_the_end() -> None:
    async def run() -> None:
        watchers = Watchers()
        with watchers.listening(1) as watcher:
            waiting = asyncio.create_task(watcher.over(DEADLINE_S))
            await asyncio.sleep(0)
            rig = Rig()
            rig.performer.perform(write(1, result(1)))
            await rig.until(lambda: rig.ends)
            watchers.committed(rig.ends[0])
            watchers.ended(1)
            await waiting
            assert watcher.end is rig.ends[0]
            await rig.performer.stop()

    asyncio.run(run())


def test_nobody_waits_longer_than_asked_nor_past_a_release() -> None:
    async def run() -> None:
        watchers = Watchers()
        with watchers.listening(1) as watcher:
            await watcher.over(0.01)
            assert not watcher.ended
            waiting = asyncio.create_task(watcher.over(DEADLINE_S))
            await asyncio.sleep(0)
            watchers.release()
            await waiting

    asyncio.run(run())
