"""How much is measured: `$WASMGRID_BENCH_SCALE` multiplies every count, `$WASMGRID_BENCH_ROUNDS` replaces the five."""

from __future__ import annotations

import os

SCALE = float(os.environ.get("WASMGRID_BENCH_SCALE", "1"))
ROUNDS = int(os.environ.get("WASMGRID_BENCH_ROUNDS", "5"))


def scaled(count: int, least: int = 2) -> int:
    """`count`, or its part where less was asked for."""
    return max(least, round(count * SCALE))
