"""What agent and runner say to each other: MessagePack structs behind a 4-byte length, on a socket pair.

    agent -> runner   Setup, once; then Run, one at a time        runner -> agent   Ready, once; then Ended, many a Run
    agent -> runner   Stop, on the second (control) socket, which a runner reads also while a guest runs

All paths are relative to the runner's box, the directory that agent and runner share:

    box/modules/  precompiled files and bundles, linked in      box/in/       inputs of the current chunk
    box/io/       outputs and artifacts, from the runner        box/scratch/  the guest's /
"""

from __future__ import annotations

import os
import select
import struct
from typing import TypeVar

import msgspec

from wasmgrid.core.job import Stats
from wasmgrid.core.limits import Limits
from wasmgrid.core.outcome import Outcome
from wasmgrid.core.work import CHUNK_S

MODULES, INPUTS, IO, SCRATCH = "modules", "in", "io", "scratch"
CALLS = f"{IO}/calls"  # where the guest of an interpreter reads its next call
STDOUT, STDERR = f"{IO}/stdout", f"{IO}/stderr"  # named pipes
SPILL = ".spill"  # after the name of a pipe: the file that holds its bytes so far, where the guest lives long enough
FRAME_LIMIT = 256 << 20  # args, env and stdin of a chunk; far above what the API accepts, so only a bug meets it
_READ_BYTES = 1 << 18
_LENGTH = struct.Struct("<I")

T = TypeVar("T")


class Setup(msgspec.Struct, frozen=True, array_like=True):
    """How a runner confines itself before it touches anything of a guest.

    `user`: the uid and gid to become where the agent is root, else None. `disk_mb`: the size of the scratch.
    """

    box: str
    disk_mb: int
    parent_pid: int
    user: int | None = None


class Confinement(msgspec.Struct, frozen=True, kw_only=True):
    """What holds a runner besides WebAssembly itself; `missing` says, in words, what this machine did not allow.

    `namespaces` among user, mount, net, ipc, uts; `root`: how the file system was narrowed (pivot_root, chroot,
    landlock or none); `sized_scratch`: the scratch is a tmpfs of exactly `disk_mb`, else it is watched.
    """

    platform: str
    namespaces: list[str] = []
    root: str = "none"
    sized_scratch: bool = False
    unprivileged: bool = False
    no_new_privs: bool = False
    seccomp: bool = False
    missing: list[str] = []


class Ready(msgspec.Struct, frozen=True, array_like=True):
    """A runner is confined and waits for work. `error` is set where it could not be made safe: it exits then."""

    confinement: Confinement | None
    rss_bytes: int
    error: str = ""


class Mount(msgspec.Struct, frozen=True, array_like=True):
    """A directory of the box that the guest sees, read-only, at `guest`."""

    host: str
    guest: str


class Copy(msgspec.Struct, frozen=True, array_like=True):
    """A directory of the box whose content is copied to `guest` in the scratch; read-only there unless `writable`."""

    host: str
    guest: str
    writable: bool


class Run(msgspec.Struct, frozen=True, array_like=True):
    """A chunk: the tasks `first` .. `first + count - 1` of one job, to be run one after the other as one attempt.

    `module` is a name under box/modules, `stdin_file` one under box/in (else `stdin` is all of it). `lines` has a line
    per task; `runner.arguments` says what becomes of it and of `args`. `hold_s`: results may wait so long for others.
    Of an interpreter, `bundle` is the name under box/modules of the directory with the program's files, and `argv`
    comes before `args`. The rest is as in `worker.task.RunnerChunk`.
    """

    attempt: int
    job_id: int
    module: str
    metered: bool
    limits: Limits
    env: dict[str, str]
    mounts: list[Mount]
    copies: list[Copy]
    args: list[str]
    stdin: bytes
    stdin_file: str | None
    first: int = 0
    count: int = 1
    lines: bytes | None = None
    use: str = "stdin"
    array: bool = False
    function: str | None = None
    isolate: bool = False
    hold_s: float = CHUNK_S
    bundle: str | None = None
    argv: list[str] = []


class Stop(msgspec.Struct, frozen=True, array_like=True):
    """Begin no more tasks of this attempt; `running`: and end the guest of the one that runs, if any does."""

    attempt: int
    running: bool


class Stream(msgspec.Struct, frozen=True, array_like=True):
    """One output stream: the kept bytes (their head where `file`, a name under box/io, has them all), and how many.

    `tail` is the end (at most 4 KiB) of what was written after the cap.
    """

    data: bytes
    size: int
    truncated: bool
    file: str | None
    tail: bytes = b""


class Left(msgspec.Struct, frozen=True, array_like=True):
    """A file that was left in /out: its path there, its copy under box/io, its size."""

    path: str
    file: str
    size: int


class End(msgspec.Struct, frozen=True, array_like=True):
    """How one task ended. Times are seconds since 1970."""

    index: int
    outcome: Outcome
    stdout: Stream
    stderr: Stream
    artifacts: list[Left]
    stats: Stats
    started_at: float
    finished_at: float
    return_value: str | None = None


class Returns(msgspec.Struct, frozen=True, array_like=True):
    """Calls that returned and printed nothing, for the tasks from `first` on: their values as JSON, one a line."""

    first: int
    count: int
    values: bytes
    stats: Stats
    started_at: float
    finished_at: float


class Ended(msgspec.Struct, frozen=True, array_like=True):
    """Tasks of an attempt that ended since the last such frame, in order of their indexes.

    `over`: the whole Run is, or was halted; `idle`: the runner is clean and takes another.
    """

    attempt: int
    ends: list[End]
    returns: list[Returns]
    over: bool
    idle: bool


_encoder = msgspec.msgpack.Encoder()


def encode(message: msgspec.Struct) -> bytes:
    """A message with its length before it."""
    body = _encoder.encode(message)
    return _LENGTH.pack(len(body)) + body


class Splitter:
    """Cuts a byte stream into the bodies of frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that are complete with `data`; raises ValueError for a length that no frame has."""
        self._buffer += data
        bodies = []
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > FRAME_LIMIT:
                raise ValueError(f"a frame of {length} bytes, at most {FRAME_LIMIT} are allowed")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                break
            bodies.append(bytes(self._buffer[_LENGTH.size : end]))
            del self._buffer[:end]
        return bodies


class Channel:
    """The runner's end of a socket. Plain descriptors: the socket module would cost a megabyte."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        os.set_blocking(descriptor, False)
        self._splitter = Splitter()
        self._bodies: list[bytes] = []
        self._incoming = select.poll()
        self._incoming.register(descriptor, select.POLLIN)

    def wait(self, most_s: float) -> bool:
        """Whether there is something to receive within `most_s`."""
        return bool(self._bodies or self._incoming.poll(most_s * 1000))

    def receive(self, decoder: msgspec.msgpack.Decoder[T]) -> T | None:
        """The next message, or None where the other side is gone."""
        while not self._bodies:
            try:
                data = os.read(self.descriptor, _READ_BYTES)
            except BlockingIOError:
                self._incoming.poll()
                continue
            if not data:
                return None
            self._bodies = self._splitter.feed(data)
        return decoder.decode(self._bodies.pop(0))

    def send(self, message: msgspec.Struct) -> None:
        """Send all of `message`; raises OSError where the other side is gone."""
        left = memoryview(encode(message))
        while left:
            try:
                left = left[os.write(self.descriptor, left) :]
            except BlockingIOError:
                select.select([], [self.descriptor], [])
