"""What servers ask of whoever leads. Asked here or over the fabric, the same question gets the same answer.

An answer may be larger than a message: then it comes in parts, which the leader keeps for a moment.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import msgspec

from wasmgrid.core import errors
from wasmgrid.core.errors import ProtocolMismatch, WasmgridError
from wasmgrid.core.job import StoredSpec
from wasmgrid.core.overview import HeldView, LeaderOverview
from wasmgrid.core.ranges import Run
from wasmgrid.core.wire import FRAME_BYTES, Answer
from wasmgrid.core.worker import Toolchain, WorkerView
from wasmgrid.protocol.events import LiveJob
from wasmgrid.scheduling.explain import Why

if TYPE_CHECKING:
    from wasmgrid.control.leading import Leading

A = TypeVar("A")

ACTIONS = ("drain", "cordon", "uncordon")


class Question(msgspec.Struct, Generic[A], frozen=True):
    """Something that only the leader knows, or can do. Asked twice it does no more than once."""

    answers: ClassVar[msgspec.msgpack.Decoder[Any]]

    def of(self, leading: Leading) -> A:
        """The leader's answer."""
        raise AssertionError(leading)


class WhoLeads(msgspec.Struct, frozen=True, kw_only=True):
    """A server that leads, in its own words."""

    server_id: str
    term: int


class Lives(Question[dict[int, LiveJob]], frozen=True, tag="live"):
    """What is known of unfinished jobs beyond the store; jobs that it does not know are left out."""

    job_ids: list[int]
    answers: ClassVar = msgspec.msgpack.Decoder(dict[int, LiveJob])

    def of(self, leading: Leading) -> dict[int, LiveJob]:
        """By number."""
        known = ((job_id, leading.live(job_id)) for job_id in self.job_ids)
        return {job_id: live for job_id, live in known if live is not None}


class WhyNot(Question[Why | None], frozen=True, tag="why"):
    """Why a job does not run; None where it is finished or unknown."""

    job_id: int
    answers: ClassVar = msgspec.msgpack.Decoder(Why | None)

    def of(self, leading: Leading) -> Why | None:
        """In one sentence and per worker."""
        return leading.why(self.job_id)


class Workers(Question[list[WorkerView]], frozen=True, tag="workers"):
    """Every worker that is there."""

    answers: ClassVar = msgspec.msgpack.Decoder(list[WorkerView])

    def of(self, leading: Leading) -> list[WorkerView]:
        """As they are now."""
        return leading.workers()


class Toolchains(Question[list[Toolchain]], frozen=True, tag="toolchains"):
    """The toolchains of the workers that are there."""

    answers: ClassVar = msgspec.msgpack.Decoder(list[Toolchain])

    def of(self, leading: Leading) -> list[Toolchain]:
        """A ready one before the same to be installed."""
        return leading.toolchains()


class Warnings(Question[list[str]], frozen=True, tag="warnings"):
    """What whoever submits this should know at once."""

    spec: StoredSpec
    answers: ClassVar = msgspec.msgpack.Decoder(list[str])

    def of(self, leading: Leading) -> list[str]:
        """Sentences."""
        return leading.submission_warnings(self.spec)


class Done(Question[list[Run]], frozen=True, tag="done"):
    """Which tasks of an unfinished job have their results."""

    job_id: int
    answers: ClassVar = msgspec.msgpack.Decoder(list[Run])

    def of(self, leading: Leading) -> list[Run]:
        """As runs of indexes; none of a job that it does not know."""
        return leading.done(self.job_id)


class Attempts(Question[list[HeldView]], frozen=True, tag="attempts"):
    """The attempts at a job's tasks, or at one of them, that workers hold now."""

    job_id: int
    index: int | None
    answers: ClassVar = msgspec.msgpack.Decoder(list[HeldView])

    def of(self, leading: Leading) -> list[HeldView]:
        """The oldest few."""
        return leading.held(self.job_id, self.index)


class Running(Question[list[int]], frozen=True, tag="running"):
    """Which jobs run; at this worker, where one is named."""

    worker_id: str | None
    answers: ClassVar = msgspec.msgpack.Decoder(list[int])

    def of(self, leading: Leading) -> list[int]:
        """Their numbers."""
        return leading.running(self.worker_id)


class Overview(Question[LeaderOverview], frozen=True, tag="overview"):
    """The whole grid at one glance."""

    points: int
    answers: ClassVar = msgspec.msgpack.Decoder(LeaderOverview)

    def of(self, leading: Leading) -> LeaderOverview:
        """With so many of the newest points of its series."""
        return leading.overview(self.points)


class Act(Question[WorkerView], frozen=True, tag="act"):
    """Drain, cordon or uncordon a worker."""

    worker_id: str
    action: str
    answers: ClassVar = msgspec.msgpack.Decoder(WorkerView)

    def of(self, leading: Leading) -> WorkerView:
        """The worker as it is then; raises `NotFound` where it is not there."""
        return leading.act(self.worker_id, self.action)


class Leads(Question[WhoLeads], frozen=True, tag="leads"):
    """Who answers."""

    answers: ClassVar = msgspec.msgpack.Decoder(WhoLeads)

    def of(self, leading: Leading) -> WhoLeads:
        """The leader itself."""
        return WhoLeads(server_id=leading.server_id, term=leading.term)


class ModulesPruned(Question[None], frozen=True, tag="modules_pruned"):
    """To be known: builds and modules may have gone from the store."""

    answers: ClassVar = msgspec.msgpack.Decoder(None)

    def of(self, leading: Leading) -> None:
        """Noted."""
        leading.modules_pruned()


class More(msgspec.Struct, frozen=True, tag="more"):
    """The next part of an answer that did not fit into one message."""

    token: int
    part: int


class Part(msgspec.Struct, frozen=True):
    """A part of an answer; of several, the others are had by `More` with this token."""

    data: bytes
    token: int = 0
    parts: int = 1


AnyQuestion = (
    Lives
    | WhyNot
    | Workers
    | Toolchains
    | Warnings
    | Done
    | Attempts
    | Running
    | Overview
    | Act
    | Leads
    | ModulesPruned
    | More
)

PART_BYTES = FRAME_BYTES
KEPT_ANSWERS = 32

encode = msgspec.msgpack.Encoder().encode
_questions: msgspec.msgpack.Decoder[AnyQuestion] = msgspec.msgpack.Decoder(AnyQuestion)
_parts = msgspec.msgpack.Decoder(Part)


def decode(body: bytes) -> AnyQuestion:
    """A question as it came in; raises `ProtocolMismatch` for what is none."""
    try:
        return _questions.decode(body)
    except msgspec.DecodeError as error:
        raise ProtocolMismatch(f"a malformed question came in: {error}") from error


def decode_part(answer: Answer) -> Part:
    """A part of an answer; raises the error that stands in its place."""
    if answer.code:
        raise _error(answer)
    try:
        return _parts.decode(answer.body)
    except msgspec.DecodeError as error:
        raise ProtocolMismatch(f"a malformed answer came in: {error}") from error


class Parts:
    """Cuts answers into parts, and keeps the rest of the latest few until it is asked for."""

    def __init__(self) -> None:
        self._kept: dict[int, bytes] = {}

    def first(self, whole: bytes) -> Part:
        """The first part of an answer."""
        if len(whole) <= PART_BYTES:
            return Part(whole)
        token = secrets.randbits(60)  # another leader, asked for the rest, must not take it for one of its own
        self._kept[token] = whole
        if len(self._kept) > KEPT_ANSWERS:
            del self._kept[next(iter(self._kept))]
        return Part(whole[:PART_BYTES], token, -(-len(whole) // PART_BYTES))

    def more(self, question: More) -> Part:
        """A later one; raises `NotFound` where the answer is no longer kept."""
        whole = self._kept.get(question.token)
        if whole is None:
            raise errors.NotFound("that answer is no longer kept", hint="ask again")
        at = question.part * PART_BYTES
        return Part(whole[at : at + PART_BYTES], question.token, -(-len(whole) // PART_BYTES))


def _error(answer: Answer) -> WasmgridError:
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, WasmgridError) and kind.code == answer.code:
            return kind(answer.message, hint=answer.hint)
    return WasmgridError(answer.message, hint=answer.hint)
