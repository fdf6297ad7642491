"""The agent's half: what a worker holds, whose word it follows, and which results it must keep.

Nothing here runs anything: `handle(event, now)` says what to begin, to stop and to tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from msgspec.structs import replace

from wasmgrid.core import wire
from wasmgrid.core.wire import (
    Assign,
    Cancel,
    DrainWorker,
    Heartbeat,
    Held,
    Hello,
    Inventory,
    Leave,
    Message,
    Progress,
    Refused,
    ResultsAck,
)
from wasmgrid.core.worker import Cache, WorkerInfo
from wasmgrid.protocol.agent_events import (
    Advanced,
    Begin,
    CacheChanged,
    Command,
    Described,
    Drain,
    DrainAsked,
    Ended,
    Event,
    Forget,
    Heard,
    Lifetime,
    Reached,
    Reconnected,
    Returned,
    Say,
    Stop,
    StopReason,
    Tick,
)
from wasmgrid.protocol.chunks import within
from wasmgrid.protocol.heldattempt import RESEND_S, HeldAttempt, Result, has_room, held_of, messages

RESEND_MOST_S = 15.0
LEASE_S = 10.0  # until a leader says otherwise
TOLD_MODULES = 2000  # an inventory must fit a frame


class Agent:
    """One life of a worker. `died`: the attempts that its former life left behind."""

    def __init__(self, info: WorkerInfo, *, died: list[Held], now: float) -> None:
        self.info = info
        self.draining = False
        self.term = 0
        self.leader_id = ""
        self.lease_s = LEASE_S
        self.heartbeat_s = 1.0
        self._attempts: dict[int, HeldAttempt] = {}
        self._died = died
        self._assigned_seq = 0
        self._reached_at = now
        self._beat_at = now
        self._ends_at: float | None = None
        self._cached: tuple[str, ...] = ()
        self._cache = Cache()
        self._news: set[int] = set()
        self._commands: list[Command] = []

    @property
    def idle(self) -> bool:
        """Whether it holds nothing, also no unacknowledged result."""
        return not self._attempts

    def handle(self, event: Event, now: float) -> list[Command]:
        """Note what happened; what is to be done about it, in order."""
        match event:
            case Heard(message):
                self._hear(message, now)
            case Reached():
                self._reached_at = now
            case Reconnected():
                self._reached_at = now
                self._introduce(now)
            case Advanced():
                self._advance(event)
            case Ended(result, results, ranges):
                self._end([*results, *ranges] if result is None else [result], now)
            case Returned():
                self._give_back(event)
            case Described(info):
                self.info = info
                self._introduce(now)
            case CacheChanged(modules, size):
                self._cached, self._cache = modules[:TOLD_MODULES], Cache(modules=len(modules), bytes=size)
            case Lifetime(remaining_s):
                self._ends_at = now + remaining_s
                self._introduce(now)
            case Drain():
                self.draining = True
                self._introduce(now)
            case Tick():
                self._tick(now)
            case _:
                assert_never(event)
        commands, self._commands = self._commands, []
        return commands

    def introduce(self, now: float) -> list[Command]:
        """The first word: who it is. A leader that does not know it yet answers with hello."""
        return self.handle(Reconnected(), now)

    def leave(self) -> list[Command]:
        """The last word: attempts that still run are given back."""
        for attempt, one in list(self._attempts.items()):
            if one.open:
                self._stop(attempt, StopReason.SUPERSEDED)
                self._say(Refused(worker_id=self.info.id, attempt=attempt, reason="its worker stops"))
        self._say(Leave(worker_id=self.info.id, incarnation=self.info.incarnation))
        commands, self._commands = self._commands, []
        return commands

    def _hear(self, message: Hello | Assign | Cancel | ResultsAck | DrainWorker, now: float) -> None:
        match message:
            case Hello():
                self._greet(message, now)
            case Assign():
                self._take(message)
            case Cancel():
                if message.term >= self.term and message.attempt in self._attempts:
                    superseded = message.reason == "superseded"
                    self._stop(message.attempt, StopReason.SUPERSEDED if superseded else StopReason.CANCELLED)
            case ResultsAck():
                if message.term >= self.term:
                    for attempt in message.attempts:
                        self._forget(attempt)
                    for attempt, first, count in message.parts:
                        self._settled(attempt, first, count, now)
            case DrainWorker():
                if message.term >= self.term and not self.draining:
                    self.draining = True
                    self._introduce(now)
                    self._commands.append(DrainAsked())
            case _:
                assert_never(message)

    def _greet(self, hello: Hello, now: float) -> None:
        """A leader of a lower term is over; a higher one is followed, with its lease and its count of assignments."""
        if hello.term < self.term:
            return
        if hello.term > self.term:
            self.term, self._assigned_seq = hello.term, 0
        self.leader_id = hello.leader_id
        self.lease_s, self.heartbeat_s = hello.lease_s, hello.heartbeat_s
        self._introduce(now)

    def _take(self, assign: Assign) -> None:
        if assign.term < self.term or assign.attempt in self._attempts or assign.incarnation != self.info.incarnation:
            return
        if assign.term == self.term:
            if assign.seq <= self._assigned_seq:  # it comes late: the leader may have heard that it is not here
                return
            self._assigned_seq = assign.seq
        held = held_of(assign)
        indexes = range(held.index, held.index + held.count)
        for attempt, other in list(self._attempts.items()):
            same = (other.held.kind, other.held.id) == (held.kind, held.id) and not other.open.isdisjoint(indexes)
            if same and attempt < assign.attempt:
                self._stop(attempt, StopReason.SUPERSEDED)
        refusal = self._refusal(assign)
        if refusal:
            self._say(Refused(worker_id=self.info.id, attempt=assign.attempt, reason=refusal))
            return
        self._attempts[assign.attempt] = HeldAttempt(held, assign.work.need, set(indexes))
        self._commands.append(Begin(assign.attempt, assign.work))

    def _refusal(self, assign: Assign) -> str:
        """Why the assignment is not taken, or nothing. A leader that lost count must not overload this machine."""
        if self.draining:
            return "its worker is draining"
        if assign.term > self.term:
            return "its worker does not know this leader yet"
        if not has_room(self._attempts.values(), self.info.capacity, assign.work):
            return "its worker is full"
        return ""

    def _advance(self, event: Advanced) -> None:
        one = self._attempts.get(event.attempt)
        if one is None or not one.open:
            return
        one.held = replace(
            one.held,
            phase=event.phase,
            detail=event.detail,
            started_at=event.started_at or one.held.started_at,
            running=event.running,
        )
        self._news.add(event.attempt)

    def _end(self, results: Sequence[Result], now: float) -> None:
        attempt = results[0].attempt
        one = self._attempts.get(attempt)
        if one is None:
            return
        fresh = one.take(results)
        if not one.open:
            one.held = replace(one.held, phase="finished", detail="", running=None)
            self._news.discard(attempt)
        if fresh:
            if len(one.unsettled) == len(fresh):
                one.told_at = now
            self._tell(fresh)

    def _give_back(self, event: Returned) -> None:
        one = self._attempts.get(event.attempt)
        if one is None:
            return
        one.open -= within(one.open, event.rest)
        self._say(
            wire.Returned(
                worker_id=self.info.id, incarnation=self.info.incarnation, attempt=event.attempt, rest=event.rest
            )
        )
        self._close(event.attempt)

    def _stop(self, attempt: int, reason: StopReason) -> None:
        one = self._attempts[attempt]
        if one.open:
            self._commands.append(Stop(attempt, reason))
        if reason is not StopReason.CANCELLED:
            one.open.clear()
            self._close(attempt)

    def _settled(self, attempt: int, first: int, count: int, now: float) -> None:
        one = self._attempts.get(attempt)
        if one is not None:
            one.settle(first, count)
            one.told_at, one.wait_s = now, RESEND_S
            self._close(attempt)

    def _close(self, attempt: int) -> None:
        """Forget it where nothing of it is open, and nothing must be kept; else show that nothing runs any more."""
        one = self._attempts[attempt]
        if one.over:
            self._forget(attempt)
        elif not one.open:
            one.held = replace(one.held, phase="finished", detail="", running=None)
            self._news.discard(attempt)

    def _forget(self, attempt: int) -> None:
        if self._attempts.pop(attempt, None) is not None:
            self._news.discard(attempt)
            self._commands.append(Forget(attempt))

    def _introduce(self, now: float) -> None:
        held = [one.told() for one in self._attempts.values()] + self._died
        self._say(
            Inventory(
                worker=self.info,
                term=self.term,
                held=held,
                draining=self.draining,
                remaining_s=None if self._ends_at is None else max(0.0, self._ends_at - now),
                modules=list(self._cached),
                cache=self._cache,
            )
        )
        for one in self._attempts.values():
            self._tell_again(one, now)

    def _tick(self, now: float) -> None:
        if now - self._reached_at > self.lease_s:
            for attempt, one in list(self._attempts.items()):
                if one.open:
                    self._stop(attempt, StopReason.LEASE_LAPSED)
        if self._news:
            held = [self._attempts[attempt].told() for attempt in sorted(self._news)]
            self._news.clear()
            self._say(Progress(worker_id=self.info.id, incarnation=self.info.incarnation, held=held))
        for one in self._attempts.values():
            if one.unsettled and now - one.told_at >= one.wait_s:
                one.wait_s = min(one.wait_s * 2, RESEND_MOST_S)
                self._tell_again(one, now)
        if now - self._beat_at >= self.heartbeat_s:
            self._beat_at = now
            self._beat()

    def _beat(self) -> None:
        self._say(
            Heartbeat(
                worker_id=self.info.id,
                incarnation=self.info.incarnation,
                term=self.term,
                assigned_seq=self._assigned_seq,
                held=[one.told() for one in self._attempts.values()],
                cache=self._cache,
            )
        )

    def _tell_again(self, one: HeldAttempt, now: float) -> None:
        one.told_at = now
        self._tell(list(one.unsettled.values()))

    def _tell(self, results: Sequence[Result]) -> None:
        for message in messages(results, self.info):
            self._say(message)

    def _say(self, message: Message) -> None:
        self._commands.append(Say(message))
