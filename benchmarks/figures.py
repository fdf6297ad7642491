"""What was measured, kept as JSON below .cache/benchmarks/results/, from which `benchmarks.render` fills the documents.

One file a benchmark, replaced by its next run, so that the documents can be filled anew without measuring again.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.grid import ROOT
from benchmarks.sizes import ROUNDS, SCALE

CACHE = Path(os.environ.get("WASMGRID_BENCH_CACHE", ROOT / ".cache" / "benchmarks"))


def save(name: str, figures: dict[str, Any]) -> Path:
    """Keep the figures of benchmark `name`, with when, where and from which commit."""
    folder = CACHE / "results"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"conditions": conditions(), **figures}, indent=1) + "\n", encoding="utf-8")
    return path


def load(name: str) -> dict[str, Any] | None:
    """What the last run of `name` measured, or None."""
    path = CACHE / "results" / f"{name}.json"
    return read(path) if path.exists() else None


def read(path: Path) -> dict[str, Any]:
    """A kept file."""
    kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return kept


def conditions() -> dict[str, Any]:
    """When, where, how much."""
    asked = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": asked.stdout.strip(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
        "scale": SCALE,
        "rounds": ROUNDS,
    }


def ratio(more: float, less: float) -> float:
    """`more / less`; 0 where `less` is none, as CPU time is that is shorter than the kernel's ticks of 10 ms."""
    return more / less if less else 0.0


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and most."""
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}
