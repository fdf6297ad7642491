"""A server that does not lead: it asks whoever does, and hears from them what changed."""

from __future__ import annotations

from typing import TypeVar

import structlog

from wasmgrid.control import questions
from wasmgrid.control.questions import Question
from wasmgrid.control.watchers import Watchers
from wasmgrid.core import wire
from wasmgrid.core.errors import ProtocolMismatch, WasmgridError
from wasmgrid.fabric import subjects
from wasmgrid.fabric.connection import Fabric
from wasmgrid.fabric.subscription import Subscription

A = TypeVar("A")

log = structlog.get_logger()


class Following:
    """The way to the leader, whoever it is. Between `start` and `stop` it also hears what changed."""

    def __init__(self, fabric: Fabric, watchers: Watchers) -> None:
        self._fabric = fabric
        self._watchers = watchers
        self._subscriptions: list[Subscription] = []

    async def start(self) -> None:
        """Listen to the leader's hints, and to whoever becomes leader."""
        self._subscriptions = [
            await self._fabric.serve(subjects.changes(), self._hear),
            await self._fabric.serve(subjects.hello(), self._hear),
        ]

    async def stop(self) -> None:
        """Listen no more."""
        subscriptions, self._subscriptions = self._subscriptions, []
        for subscription in subscriptions:
            await subscription.stop()

    async def ask(self, question: Question[A], *, timeout_s: float) -> A:
        """The leader's answer, each of its messages waited for that long.

        Raises what the leader refuses with; `Unreachable` where nobody leads, `TimedOutWaiting` where no answer comes.
        """
        body = questions.encode(question)
        first = await self._part(body, timeout_s)
        data = [first.data]
        for number in range(1, first.parts):
            more = questions.encode(questions.More(first.token, number))
            data.append((await self._part(more, timeout_s)).data)
        answer: A = question.answers.decode(b"".join(data))
        return answer

    async def hint(self, message: wire.Submitted | wire.CancelAsked) -> None:
        """Tell the leader what is in the store already; where that is lost, it finds it there."""
        try:
            await self._fabric.publish(subjects.ask(), message)
        except WasmgridError as error:
            log.warning("the leader was not told, it will find out", error=str(error))

    async def _part(self, body: bytes, timeout_s: float) -> questions.Part:
        answer = await self._fabric.request(subjects.ask(), wire.Ask(body=body), timeout_s=timeout_s)
        if not isinstance(answer, wire.Answer):
            raise ProtocolMismatch(f"expected an answer, got {type(answer).__name__}")
        return questions.decode_part(answer)

    async def _hear(self, message: wire.Message, _reply: str) -> wire.Message | None:
        match message:
            case wire.Changes(jobs=changed, finished=finished):
                for job_id in changed:
                    self._watchers.changed(job_id)
                for job_id in finished:
                    self._watchers.ended(job_id)
            case wire.Hello():
                self._watchers.wake_all()
        return None
