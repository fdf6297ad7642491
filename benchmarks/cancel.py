"""From a leader's Cancel to the end of the guest: a real worker on a real nats-server, and whatever a guest may be at.

What is timed ends when the cancelled result is back at the leader: after the end of the guest, or of its runner.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from tests.e2e.guests import sleeper
from tests.worker.rig import SPIN, ScriptedLeader, rig, worker

from benchmarks.grid import quantile, show, temporary_home
from wasmgrid.core.outcome import OutcomeKind
from wasmgrid.core.resources import Resources

ROUNDS = 30
PROMISED_S = 0.3
BLOCKED = """(module
 (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
 (memory (export "memory") 1024)
 (func (export "_start") (loop $again (drop (call $random (i32.const 0) (i32.const 67108864))) (br $again))))"""
GUESTS = {"computes": SPIN, "sleeps": sleeper(600.0), "fills 64 MiB with random bytes": BLOCKED}


async def cancelled(leader: ScriptedLeader, attempt: int, program: str) -> float:
    """Seconds from the Cancel of a running attempt to its result."""
    need = Resources(milli_cpus=100, memory_mb=80, disk_mb=16, slots=1)
    await leader.assign(attempt, program, memory_mb=80, need=need)
    await leader.running(attempt)
    await asyncio.sleep(0.05)  # well into what it does
    began = time.perf_counter()
    await leader.cancel(attempt)
    result = await leader.result(attempt)
    took = time.perf_counter() - began
    assert result.outcome.kind is OutcomeKind.CANCELLED, result.outcome
    leader.heard.clear()
    return took


async def measure(directory: Path) -> dict[str, list[float]]:
    """The figures of each kind of guest."""
    took: dict[str, list[float]] = {}
    async with rig(directory) as made:
        leader = await made.lead()
        with worker(made.home.path):
            await leader.joined()
            for first, (name, program) in enumerate(GUESTS.items()):
                attempts = range(1 + first * ROUNDS, 1 + (first + 1) * ROUNDS)
                took[name] = [await cancelled(leader, attempt, program) for attempt in attempts]
    return took


def main() -> None:
    """Measure and show."""
    with temporary_home() as home:
        took = asyncio.run(measure(home.parent))
    rows = [
        (f"a guest that {name}", f"p50 {quantile(each, 0.5) * 1000:.0f} ms, most {max(each) * 1000:.0f} ms")
        for name, each in took.items()
    ]
    worst = max(map(max, took.values()))
    rows.append((f"all within {PROMISED_S * 1000:.0f} ms", "yes" if worst <= PROMISED_S else "NO"))
    show(f"cancel, {ROUNDS} of each", rows)


if __name__ == "__main__":
    main()
