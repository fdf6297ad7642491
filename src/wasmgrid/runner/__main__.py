"""A runner: `python -m wasmgrid.runner SOCKET CONTROL`, two inherited descriptors, and nothing else from outside."""

from __future__ import annotations

import os
import sys
import threading

import msgspec

from wasmgrid.runner import confine, scratch
from wasmgrid.runner.attempt import Attempts
from wasmgrid.runner.capture import Capture
from wasmgrid.runner.frames import STDERR, STDOUT, Channel, Confinement, End, Ended, Ready, Run, Setup
from wasmgrid.runner.watch import Watchdog

_GUEST_STACK_BYTES = 32 << 20


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
    watchdog = Watchdog([stdout, stderr], control, weigh_scratch=weigh)
    watchdog.start()
    attempts = Attempts(watchdog, stdout, stderr, sized_scratch=held.sized_scratch)
    if held.platform == "linux":  # where the main thread's stack grows as far as its limit, which was raised
        return _serve(channel, attempts, held)
    threading.stack_size(_GUEST_STACK_BYTES)
    guests = threading.Thread(target=_serve, args=(channel, attempts, held))
    guests.start()
    guests.join()
    return 0


def _serve(channel: Channel, attempts: Attempts, held: Confinement) -> int:
    runs = msgspec.msgpack.Decoder(Run)
    channel.send(Ready(held, _rss_bytes()))
    while (run := channel.receive(runs)) is not None:
        ends: list[End] = []
        last = len(run.attempts) - 1
        for number, attempt in enumerate(run.attempts):
            ends.append(attempts.run(attempt))
            idle = number == last and not attempts.spoiled
            channel.send(Ended(ends, idle))
            ends.clear()
            if attempts.spoiled:
                return 1
    return 0


_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_STATM = os.open("/proc/self/statm", os.O_RDONLY) if sys.platform == "linux" else None


def _rss_bytes() -> int:
    return 0 if _STATM is None else int(os.pread(_STATM, 200, 0).split()[1]) * _PAGE_BYTES


if __name__ == "__main__":
    sys.exit(main(Channel(int(sys.argv[1])), int(sys.argv[2])))
