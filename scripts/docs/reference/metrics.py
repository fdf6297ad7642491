"""Every metric of `/metrics`, from the families that a server makes, here of one that leads and has done nothing."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from scripts.docs.reference.table import code, table

from wasmgrid.control.meter import Meter
from wasmgrid.protocol.state import Settings, State
from wasmgrid.server import metrics


def page() -> str:
    """The table."""
    return table(["metric", "type", "labels", "meaning"], sorted(map(_row, metrics.families(_idle(), {}))))


def _row(family: Any) -> list[str]:
    name = f"{family.name}_total" if family.type == "counter" else family.name
    return [code(name), family.type, " ".join(map(code, _labels(family))), family.documentation]


def _labels(family: Any) -> list[str]:
    return list(getattr(family, "_labelnames", ()))


def _idle() -> Any:
    """What `families` asks of a server, of one whose grid is empty."""
    both = SimpleNamespace(used=0, total=0)
    states = dict.fromkeys(("joined", "draining", "cordoned", "quarantined", "unheard", "running_tasks"), 0)
    workers = SimpleNamespace(cpus=both, memory_mb=both, gpus=both, **states)
    seen = SimpleNamespace(queue=SimpleNamespace(tasks=0, oldest_s=None), workers=workers)
    state = State(term=1, leader_id="", settings=Settings(), known_workers=set(), holds={}, now=0.0)
    leading = SimpleNamespace(sure=True, term=1, state=state, overview=lambda _: seen)
    control = SimpleNamespace(leading=leading, meter=Meter())
    return cast("Any", SimpleNamespace(control=control, home=Path(), streams=SimpleNamespace(open=0), answered={}))
