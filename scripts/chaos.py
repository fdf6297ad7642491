"""The chaos half of `make soak`: faults for $CHAOS_MINUTES (10) while jobs flow, then how fast all is well again.

The seed is $CHAOS_SEED, else by chance; it is printed first. Exits with 1 where anything was lost, doubled or changed.
"""

from __future__ import annotations

import os
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.chaos.grid import LEASE_S
from tests.chaos.recovery import measure
from tests.chaos.run import Report, chaos

CLIENTS = 12
KILLS_A_MINUTE = 10
RECOVERIES = 10


def main() -> int:
    """Run, print the tables of docs/reliability.md; the exit code."""
    minutes = float(os.environ.get("CHAOS_MINUTES", "10"))
    seed = int(os.environ.get("CHAOS_SEED") or secrets.randbelow(1 << 31))
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="wasmgrid-chaos-", ignore_cleanup_errors=True) as directory:
        report = chaos(Path(directory) / "chaos", seed=seed, clients=CLIENTS, for_s=minutes * 60)
        _tell(report, time.monotonic() - began)
        if report.kills < KILLS_A_MINUTE * minutes:
            report.wrong.append(f"{report.kills} kills are fewer than {KILLS_A_MINUTE} a minute")
        for wrong in report.wrong:
            print(f"WRONG: {wrong}")
        if report.wrong:
            return 1
        times = RECOVERIES if minutes >= 1 else 1
        recoveries = measure(Path(directory) / "recovery", times=times)
        rows = ((what, _seconds(found)) for what, found in recoveries.items())
        _table(f"recovery, {times} times each, lease {LEASE_S:g} s", "median (least to most)", rows)
    return 0


def _tell(report: Report, took_s: float) -> None:
    layout = report.layout
    kinds = sorted({kind for kind, _ in report.faults})
    print(
        f"seed {report.seed} · {took_s:.0f} s · {layout.servers} servers, {layout.nats} NATS, PostgreSQL, "
        f"{layout.workers} workers, {layout.builders} builder · {CLIENTS} clients"
    )
    _table("jobs pushed through", report.jobs.total(), report.jobs.most_common())
    _table("faults injected", report.faults.total(), ((kind, _by_sort(report, kind)) for kind in kinds))
    _table(
        "outcome",
        "",
        [
            ("processes killed with -9", report.kills),
            ("starts of tasks", report.starts),
            ("of them again because the program failed and has retries", report.retries),
            ("of them again because of a fault", report.reruns),
            ("jobs lost", report.lost),
            ("results doubled or changed, starts that nothing explains", len(report.wrong) - report.lost),
            ("last job ended after the last fault was undone, s", f"{report.ended_within_s:.1f}"),
        ],
    )


def _by_sort(report: Report, wanted: str) -> str:
    counts = {sort: number for (kind, sort), number in report.faults.items() if kind == wanted}
    return f"{sum(counts.values())}: " + ", ".join(f"{sort} {number}" for sort, number in sorted(counts.items()))


def _seconds(found: list[float]) -> str:
    return f"{statistics.median(found):.2f} s ({min(found):.2f} to {max(found):.2f})"


def _table(title: str, total: object, rows: Iterable[tuple[str, object]]) -> None:
    print(f"\n| {title} | {total} |\n|---|---|")
    for name, value in rows:
        print(f"| {name} | {value} |")


if __name__ == "__main__":
    sys.exit(main())
