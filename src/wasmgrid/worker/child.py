"""One runner process, seen from its agent: started, spoken to in frames, killed, outlived."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from wasmgrid.core.errors import Unavailable
from wasmgrid.runner.frames import Confinement, Ended, Ready, Run, Setup, Splitter, Stop, encode
from wasmgrid.worker.box import Box, runner_user

START_S = 30.0
_READ_BYTES = 1 << 18
_LAST_WORDS_BYTES = 2000

_ready = msgspec.msgpack.Decoder(Ready)
_ended = msgspec.msgpack.Decoder(Ended)


class RunnerDied(Exception):
    """The process is gone; `how` says by what: a signal's name or an exit code, and its last words."""

    def __init__(self, how: str) -> None:
        super().__init__(how)
        self.how = how


class Child:
    """A runner process. Make it from the event loop's own thread: the kernel ties its life to that thread."""

    def __init__(self, box: Box, number: int, disk_mb: int, process: subprocess.Popen[bytes]) -> None:
        self.box = box
        self.number = number
        self.disk_mb = disk_mb
        self.tenant: str | None = None
        self.confinement = Confinement(platform=sys.platform)
        self.rss_bytes = 0
        self.usable = True  # until it dies
        self.idle = True  # not while a guest runs, and never again where its scratch could not be cleaned
        self.unused = asyncio.Event()  # nobody runs a chunk on it, or still reads what one left
        self.unused.set()
        self._process = process
        self._splitter = Splitter()
        self._over: asyncio.Future[None] | None = None  # of the run that it is at
        self._heard: Callable[[Ended], None] | None = None
        self._ready: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()
        self._gone: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._burying: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, directory: Path, number: int, disk_mb: int) -> Child:
        """A confined runner that waits for work; raises `Unavailable` where it does not come up. Don't cancel it."""
        user = runner_user(number)
        box = Box(directory, user=user)
        ours, theirs = socket.socketpair()
        our_control, their_control = socket.socketpair()
        with theirs, their_control:
            process = _spawn(theirs, their_control)
        child = cls(box, number, disk_mb, process)
        child._attach(ours, our_control)
        try:
            child._send(Setup(str(box.path), disk_mb, os.getpid(), user))
            async with asyncio.timeout(START_S):
                ready = await child._ready
        except (TimeoutError, RunnerDied, OSError) as error:
            await child._fail()
            raise Unavailable(f"a runner did not come up: {error or 'it took too long'}") from error
        if ready.confinement is None:
            await child._fail()
            raise Unavailable(ready.error, hint="see: wasmgrid doctor")
        child.confinement, child.rss_bytes = ready.confinement, ready.rss_bytes
        return child

    async def _fail(self) -> None:
        self.kill()
        await self.gone()
        await asyncio.to_thread(self.box.remove)

    @property
    def pid(self) -> int:
        """The process id, also after its end."""
        return self._process.pid

    async def run(self, run: Run, heard: Callable[[Ended], None]) -> None:
        """Run a chunk, until it is over; `heard` is told what has ended as it comes.

        Raises `RunnerDied` where the process ends first, and what `heard` raises: the runner is killed then.
        """
        if not self.usable:
            raise RunnerDied("it had ended before")
        self._over, self._heard, self.idle = asyncio.get_running_loop().create_future(), heard, False
        try:
            self._send(run)
            await self._over
        finally:
            self._over = self._heard = None

    def stop(self, attempt: int, *, running: bool) -> None:
        """Ask for no more tasks of it; `running`: and for the end of the guest that runs, if it hears of that.

        One that is blocked in a host call does not.
        """
        try:
            self._control.send(encode(Stop(attempt, running)))
        except OSError:
            return  # gone, or its control is full of stops: killed soon either way

    def kill(self) -> None:
        """kill -9, at once."""
        self.usable = False
        if self._process.returncode is None:
            self._process.kill()

    async def gone(self) -> str:
        """Wait for the end of the process and of its box; answers how it ended."""
        return await asyncio.shield(self._gone)

    # ---- the socket

    def _attach(self, ours: socket.socket, control: socket.socket) -> None:
        self._socket, self._control = ours, control
        ours.setblocking(False)
        control.setblocking(False)
        self._unsent = b""
        asyncio.get_running_loop().add_reader(ours.fileno(), self._readable)

    def _send(self, message: msgspec.Struct) -> None:
        data = self._unsent + encode(message)
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # its end is noticed where it is read from
        self._unsent = data[sent:]
        if self._unsent:
            asyncio.get_running_loop().add_writer(self._socket.fileno(), self._writable)

    def _writable(self) -> None:
        try:
            self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except BlockingIOError:
            return
        except OSError:
            self._unsent = b""
        if not self._unsent:
            asyncio.get_running_loop().remove_writer(self._socket.fileno())

    def _readable(self) -> None:
        try:
            data = self._socket.recv(_READ_BYTES)
            if data:
                for body in self._splitter.feed(data):
                    self._hear(body)
                return
        except BlockingIOError:
            return
        except (OSError, ValueError, msgspec.DecodeError):
            self.kill()  # it no longer talks sense: a bug, or a guest that broke out
        self._end()

    def _hear(self, body: bytes) -> None:
        if not self._ready.done():
            self._ready.set_result(_ready.decode(body))
            return
        ended = _ended.decode(body)
        if self._over is None or self._heard is None or self._over.done():
            return  # nobody waits any more
        try:
            self._heard(ended)
        except Exception as error:  # noqa: BLE001 - whoever runs the chunk gets it
            self._over.set_exception(error)
            self.kill()
            return
        if ended.over:
            self.idle = ended.idle
            self._over.set_result(None)

    def _end(self) -> None:
        if self._burying is not None:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._socket.fileno())
        loop.remove_writer(self._socket.fileno())
        self.usable = False
        self._burying = asyncio.create_task(self._bury())

    async def _bury(self) -> None:
        how = await asyncio.to_thread(self._wait)
        futures: list[asyncio.Future[Any] | None] = [self._ready, self._over]
        for future in futures:
            if future is not None and not future.done():
                future.set_exception(RunnerDied(how))
                future.exception()  # whoever waits gets it; nobody may be waiting for readiness any more
        self._socket.close()
        self._control.close()
        self._gone.set_result(how)

    def _wait(self) -> str:
        try:
            code = self._process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            self._process.kill()  # its socket is closed, so it is of no use
            code = self._process.wait()
        words = _last_words(self._process)
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return f"{how}: {words}" if words else how


def _spawn(theirs: socket.socket, their_control: socket.socket) -> subprocess.Popen[bytes]:
    numbers = (theirs.fileno(), their_control.fileno())
    return subprocess.Popen(
        [sys.executable, "-I", "-m", "wasmgrid.runner", *map(str, numbers)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={},
        cwd="/",
        pass_fds=numbers,
        start_new_session=True,
    )


def _last_words(process: subprocess.Popen[bytes]) -> str:
    if process.stderr is None:
        return ""
    with process.stderr as pipe:
        os.set_blocking(pipe.fileno(), False)
        text = (pipe.read(1 << 16) or b"").decode("utf-8", "replace")
    return " ".join(text.split())[-_LAST_WORDS_BYTES:]
