"""A runner: `python -m wasmgrid.runner SOCKET CONTROL`, two inherited descriptors, and nothing else from outside."""

from __future__ import annotations

import gc
import os
import sys
import threading

import msgspec

from wasmgrid.runner import confine, scratch
from wasmgrid.runner.capture import Capture
from wasmgrid.runner.chunk import Chunks
from wasmgrid.runner.frames import STDERR, STDOUT, Channel, Confinement, Ready, Run, Setup
from wasmgrid.runner.outbox import Outbox
from wasmgrid.runner.room import Room
from wasmgrid.runner.watch import Watchdog

_GUEST_STACK_BYTES = 32 << 20
_GARBAGE_OBJECTS = 20_000
_RESTLESS_S = 1.0  # so long an instance is kept for a job's next calls


def main(channel: Channel, control: int) -> int:
    """Confine this process, say so, and run what comes until the agent is gone."""
    setup = channel.receive(msgspec.msgpack.Decoder(Setup))
    if setup is None:
        return 0
    try:
        held = confine.confine(setup)
        stdout, stderr = Capture(STDOUT), Capture(STDERR)
    except OSError as error:
        channel.send(Ready(None, 0, f"the runner could not be confined: {error}"))
        return 1
    weigh = None if held.sized_scratch else scratch.weigh
    outbox = Outbox(channel)
    watchdog = Watchdog([stdout, stderr], control, weigh_scratch=weigh, flush=outbox.flush)
    watchdog.start()
    room = Room(stdout, stderr, sized_scratch=held.sized_scratch)
    chunks = Chunks(watchdog, room, outbox)
    _keep_quiet()
    if held.platform == "linux":  # where the main thread's stack grows as far as its limit, which was raised
        return _serve(channel, chunks, held)
    threading.stack_size(_GUEST_STACK_BYTES)
    guests = threading.Thread(target=_serve, args=(channel, chunks, held))
    guests.start()
    guests.join()
    return 0


def _keep_quiet() -> None:
    """What was imported is never garbage; what a chunk leaves in cycles is little."""
    gc.freeze()
    gc.set_threshold(_GARBAGE_OBJECTS)


def _serve(channel: Channel, chunks: Chunks, held: Confinement) -> int:
    runs = msgspec.msgpack.Decoder(Run)
    channel.send(Ready(held, _rss_bytes()))
    while True:
        if not channel.wait(_RESTLESS_S):
            chunks.rest()
        run = channel.receive(runs)
        if run is None:
            return 0
        if not chunks.run(run):
            return 1


_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_STATM = os.open("/proc/self/statm", os.O_RDONLY) if sys.platform == "linux" else None


def _rss_bytes() -> int:
    return 0 if _STATM is None else int(os.pread(_STATM, 200, 0).split()[1]) * _PAGE_BYTES


if __name__ == "__main__":
    sys.exit(main(Channel(int(sys.argv[1])), int(sys.argv[2])))
