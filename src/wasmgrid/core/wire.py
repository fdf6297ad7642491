"""Messages on the fabric: one byte of protocol version, then MessagePack of a tagged struct.

Every frame stays under the fabric's payload limit whatever a job says: what can be large travels as blobs, by digest.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from wasmgrid.core.errors import ProtocolMismatch
from wasmgrid.core.job import BuildResult, TaskRange, TaskResult
from wasmgrid.core.ranges import Run
from wasmgrid.core.work import BuildWork as BuildWork  # noqa: PLC0414 -- said as wire.BuildWork
from wasmgrid.core.work import Held as Held  # noqa: PLC0414 -- said as wire.Held
from wasmgrid.core.work import RunWork as RunWork  # noqa: PLC0414 -- said as wire.RunWork
from wasmgrid.core.work import Work as Work  # noqa: PLC0414 -- said as wire.Work
from wasmgrid.core.worker import Cache, WorkerInfo

PROTOCOL_VERSION = 3
FRAME_BYTES = 512 * 1024  # the most of a blob that travels in one message


class Hello(msgspec.Struct, frozen=True, kw_only=True, tag="hello"):
    """Leader -> all workers: who leads, in which term. Answered with an `Inventory`."""

    term: int
    leader_id: str
    lease_s: float
    heartbeat_s: float


class Inventory(msgspec.Struct, frozen=True, kw_only=True, tag="inventory"):
    """Worker -> leader: who it is and everything it holds; on joining, after hello and after any reconnection.

    `draining`: it finishes what it holds and takes nothing new. `remaining_s`: how long it still stays (None: for
    ever). `modules`: digests that are precompiled here, newest first, at most 2000.
    """

    worker: WorkerInfo
    term: int
    draining: bool = False
    held: list[Held] = []
    remaining_s: float | None = None
    modules: list[str] = []
    cache: Cache = Cache()


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True, tag="heartbeat"):
    """Worker -> leader, every `heartbeat_s`: still here, holding these attempts.

    `assigned_seq` is the highest `Assign.seq` of this term seen: an attempt at or below it that is not in `held` does
    not exist at this worker; one above it may still be on its way.
    """

    worker_id: str
    incarnation: str
    term: int
    assigned_seq: int
    held: list[Held] = []
    cache: Cache = Cache()


class Progress(msgspec.Struct, frozen=True, kw_only=True, tag="progress"):
    """Worker -> leader, a hint: attempts that lived long enough to show a new phase."""

    worker_id: str
    incarnation: str
    held: list[Held]


class Assign(msgspec.Struct, frozen=True, kw_only=True, tag="assign"):
    """Leader -> worker: run this under this attempt id. `seq` counts the assignments to this worker in this term.

    It is for the life of the worker that `incarnation` names, and nothing to the next one.
    """

    term: int
    seq: int
    attempt: int
    incarnation: str
    work: Work


class Refused(msgspec.Struct, frozen=True, kw_only=True, tag="refused"):
    """Worker -> leader: this attempt was not taken and will not run here."""

    worker_id: str
    attempt: int
    reason: str


class Returned(msgspec.Struct, frozen=True, kw_only=True, tag="returned"):
    """Worker -> leader: of this attempt, these tasks were not begun and will not run here; the others go on."""

    worker_id: str
    incarnation: str
    attempt: int
    rest: list[Run]


class Cancel(msgspec.Struct, frozen=True, kw_only=True, tag="cancel"):
    """Leader -> worker: stop this attempt; its result will say cancelled. `reason` goes into the result's message."""

    term: int
    attempt: int
    reason: str = ""


class Results(msgspec.Struct, frozen=True, kw_only=True, tag="results"):
    """Worker -> leader: tasks that ended. Kept by the worker and sent again until `ResultsAck` names them."""

    worker_id: str
    incarnation: str
    tasks: list[TaskResult] = []
    ranges: list[TaskRange] = []
    builds: list[BuildResult] = []


class ResultsAck(msgspec.Struct, frozen=True, kw_only=True, tag="results_ack"):
    """Leader -> worker, after its commit: these attempts are settled (recorded, or superseded); forget them.

    `attempts` are settled as a whole, of those in `parts` (attempt, first, how many) only these tasks. The word of a
    leader whose term is over settles nothing: its successor may have adopted the attempt.
    """

    attempts: list[int] = []
    term: int = 0
    parts: list[tuple[int, int, int]] = []


class DrainWorker(msgspec.Struct, frozen=True, kw_only=True, tag="drain"):
    """Leader -> worker: finish what you hold, take nothing more, then leave and end."""

    term: int


class Leave(msgspec.Struct, frozen=True, kw_only=True, tag="leave"):
    """Worker -> leader: it stops now; what it held has been handed over or will not end here."""

    worker_id: str
    incarnation: str


class Claim(msgspec.Struct, frozen=True, kw_only=True, tag="claim"):
    """Worker -> workers of the same credential: this id is mine, since so long (0: not yet). The older claim holds."""

    worker_id: str
    incarnation: str
    place: str  # for people
    age_s: float


class TailRequest(msgspec.Struct, frozen=True, kw_only=True, tag="tail"):
    """Server -> worker: output of a live attempt from these offsets; waits up to `wait_s` where there is none yet."""

    attempt: int
    index: int = 0
    stdout_offset: int = 0
    stderr_offset: int = 0
    wait_s: float = 0.0


class TailChunk(msgspec.Struct, frozen=True, kw_only=True, tag="tail_chunk"):
    """Worker -> server: bytes from the asked offsets (each at most half a frame). `ended`: no more will come."""

    stdout: bytes = b""
    stderr: bytes = b""
    ended: bool = False
    known: bool = True


class BlobRequest(msgspec.Struct, frozen=True, kw_only=True, tag="blob_get"):
    """Anyone -> servers: one frame of a blob from `offset`."""

    sha256: str
    offset: int = 0


class BlobFrame(msgspec.Struct, frozen=True, kw_only=True, tag="blob_frame"):
    """The answer: at most `FRAME_BYTES` of it and its whole size; `size` is -1 where there is no such blob."""

    data: bytes
    size: int


class BlobPut(msgspec.Struct, frozen=True, kw_only=True, tag="blob_put"):
    """Worker -> one server: one frame of an upload; the frame with `last` makes the blob durable, its digest checked.

    Frames are idempotent by (upload, offset); an upload that stalls is dropped.
    """

    upload: str
    sha256: str
    offset: int
    data: bytes
    last: bool


class BlobPutAck(msgspec.Struct, frozen=True, kw_only=True, tag="blob_put_ack"):
    """The answer: how much has arrived, or why it cannot be taken (`error`; empty where all is well)."""

    received: int
    error: str = ""


class Ask(msgspec.Struct, frozen=True, kw_only=True, tag="ask"):
    """Server -> leader: a question, packed by `control/`."""

    body: bytes


class Answer(msgspec.Struct, frozen=True, kw_only=True, tag="answer"):
    """The leader's answer, or its refusal: then `code` is that of the error, with its words."""

    body: bytes = b""
    code: str = ""
    message: str = ""
    hint: str | None = None


class Changes(msgspec.Struct, frozen=True, kw_only=True, tag="changes"):
    """Leader -> servers, a hint: what is shown of these jobs changed, and of these the end is committed."""

    term: int
    jobs: list[int] = []
    finished: list[int] = []


class Submitted(msgspec.Struct, frozen=True, kw_only=True, tag="submitted"):
    """Server -> leader, a hint: these jobs are committed."""

    ids: list[int]


class CancelAsked(msgspec.Struct, frozen=True, kw_only=True, tag="cancel_asked"):
    """Server -> leader, a hint: the wish to cancel this job is committed."""

    job_id: int


Message = (
    Hello
    | Inventory
    | Heartbeat
    | Progress
    | Assign
    | Refused
    | Returned
    | Cancel
    | Results
    | ResultsAck
    | Leave
    | TailRequest
    | TailChunk
    | BlobRequest
    | BlobFrame
    | BlobPut
    | BlobPutAck
    | DrainWorker
    | Claim
    | Ask
    | Answer
    | Changes
    | Submitted
    | CancelAsked
)

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Message)
_VERSION_BYTE = bytes([PROTOCOL_VERSION])
_NOTICE_BYTE = b"\0"  # of no version: every side, however old or new, reads what follows as text

M = TypeVar("M", bound=msgspec.Struct)


def encode(message: Message) -> bytes:
    """A message as it travels."""
    return _VERSION_BYTE + _encoder.encode(message)


def encode_notice(text: str) -> bytes:
    """Words for a side of another protocol version: `decode` raises them there as `ProtocolMismatch`."""
    return _NOTICE_BYTE + text.encode()


def decode(frame: bytes) -> Message:
    """The message in `frame`; raises `ProtocolMismatch` for another version or for bytes that are no message."""
    if frame[:1] == _NOTICE_BYTE:
        raise ProtocolMismatch(frame[1:].decode(errors="replace"))
    if frame[:1] != _VERSION_BYTE:
        theirs = frame[0] if frame else "nothing"
        raise ProtocolMismatch(
            f"a message of protocol version {theirs} came in, this side speaks {PROTOCOL_VERSION}",
            hint="run the same wasmgrid version on every machine of a grid",
        )
    try:
        message: Message = _decoder.decode(memoryview(frame)[1:])
    except msgspec.DecodeError as error:
        raise ProtocolMismatch(f"a malformed message came in: {error}") from error
    return message


def decode_as(frame: bytes, kind: type[M]) -> M:
    """The message in `frame`, which must be a `kind`."""
    message = decode(frame)
    if not isinstance(message, kind):
        raise ProtocolMismatch(f"expected {kind.__name__}, got {type(message).__name__}")
    return message
