"""Workers as text: a table that 80 columns hold, and everything about each. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from wasmgrid.cli.tables import table
from wasmgrid.cli.terminal import one_line
from wasmgrid.core.units import format_bytes
from wasmgrid.sdk.views import Worker

COLUMNS = 80
_SAID_ELSEWHERE = {"arch", "os", "host", "gpu", "gpu_memory_mb"}  # by every worker, or in a column of its own
_MANY = 4
_LEAST_LABELS = 6
_NOBODY = "no worker has joined · start one: wasmgrid worker, or wasmgrid join-command\n"


def narrow(found: Sequence[Worker]) -> str:
    """One line for each, within 80 columns where its name allows; below, why some take nothing new."""
    if not found:
        return _NOBODY
    found = sorted(found, key=_place)
    rows = [
        [
            worker.id,
            worker.state or "-",
            f"{_cpus(worker.used.milli_cpus)}/{_cpus(worker.capacity.milli_cpus)}",
            f"{_gib(worker.used.memory_mb)}/{_gib(worker.capacity.memory_mb)}",
            f"{worker.used.gpus}/{worker.capacity.gpus}" if worker.capacity.gpus else "-",
            str(len(worker.running)),
            str(worker.cache.modules),
            remaining(worker.remaining_s),
            "",
        ]
        for worker in found
    ]
    header = ["WORKER", "STATE", "CPUS", "GIB", "GPUS", "TASKS", "CACHED", "STAYS"]
    lines = table([*header, "LABELS"], rows).splitlines()
    at = lines[0].index("LABELS")
    labelled = [
        f"{line:<{at}}{_cut(_labels(worker, own=True), at)}" for line, worker in zip(lines[1:], found, strict=True)
    ]
    return "\n".join([lines[0], *labelled, *_notes(found)]) + "\n"


def wide(found: Sequence[Worker]) -> str:
    """A block for each worker, with everything that is known of it."""
    return "\n".join(_block(worker) for worker in sorted(found, key=_place)) or _NOBODY


def _place(worker: Worker) -> tuple[tuple[int, str], ...]:
    """Ids as people count: w2 before w10, a credential's workers together."""
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", worker.id[:80]))


def remaining(seconds: float | None) -> str:
    """How long a worker stays, in two units: `1h59m`, `45s`; `-` where it has no end."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d{hours}h"
    if hours:
        return f"{hours}h{minutes:02}m"
    return f"{minutes}m{rest:02}s" if minutes else f"{rest}s"


def _block(worker: Worker) -> str:
    lines = [one_line(f"{worker.id}  {worker.state}{f' ({worker.note})' if _says_more(worker) else ''}")]
    lines += [one_line(f"  {name:<9} {value}") for name, value in _details(worker)]
    return "\n".join(lines) + "\n"


def _details(worker: Worker) -> Iterator[tuple[str, str]]:
    used, has = worker.used, worker.capacity
    yield "host", f"{worker.hostname or '-'}, version {worker.version or '-'}" + _silence(worker)
    yield "cpus", f"{_cpus(used.milli_cpus)} of {_cpus(has.milli_cpus)}, {used.slots} of {has.slots} slots"
    yield "memory", f"{used.memory_mb} of {has.memory_mb} MB"
    yield "disk", f"{used.disk_mb} of {has.disk_mb} MB"
    for gpu in worker.gpus:
        state = "taken" if gpu.index in worker.gpus_used else "free"
        kind = ", simulated" if gpu.simulated else ""
        yield f"gpu {gpu.index}", f"{gpu.model}, {gpu.memory_mb} MB{kind}, {state}"
    yield "runs", _list(worker.running) or "nothing"
    yield "cache", f"{worker.cache.modules} modules, {format_bytes(worker.cache.bytes)}"
    if worker.remaining_s is not None:
        yield "stays", remaining(worker.remaining_s)
    compiles = [tool.language for tool in worker.toolchains if tool.ready]
    yield "compiles", (_list(compiles, 99) or "nothing") + (", and runs nothing" if worker.builds_only else "")
    yield "labels", _labels(worker, own=False)


def _notes(found: Sequence[Worker]) -> Iterator[str]:
    """Why workers take nothing new, and what to type about it; a line for each."""
    for worker in found:
        if worker.state in {"cordoned", "quarantined"}:
            note = f" ({worker.note})" if _says_more(worker) else ""
            yield one_line(f"{worker.id} is {worker.state}{note} · let it go on: wasmgrid uncordon {worker.id}")
        elif worker.state == "unheard":
            silent = f" for {remaining(worker.silent_s)}" if worker.silent_s is not None else ""
            yield one_line(f"{worker.id} was not heard{silent} · its tasks go elsewhere once it is lost")
        elif worker.state == "draining":
            when = f"once {_list(worker.running)} is over" if worker.running else "now"
            yield one_line(f"{worker.id} is draining and goes {when}")


def _says_more(worker: Worker) -> bool:
    """Whether the note is more than the state in a sentence."""
    return bool(worker.note) and worker.note != f"it is {worker.state}"


def _labels(worker: Worker, *, own: bool) -> str:
    shown = sorted(f"{key}={text}" for key, text in worker.labels.items() if not own or key not in _SAID_ELSEWHERE)
    return " ".join(["(only builds)", *shown] if own and worker.builds_only else shown) or "-"


def _list(words: Sequence[str], most: int = _MANY) -> str:
    more = len(words) - most
    return ", ".join(words[:most]) + (f" and {more} more" if more > 0 else "")


def _silence(worker: Worker) -> str:
    return f", silent for {remaining(worker.silent_s)}" if worker.state == "unheard" else ""


def _cut(labels: str, at: int) -> str:
    """As much of the labels as the line has room for; what stands before them never gives way."""
    room = max(COLUMNS - at, _LEAST_LABELS)
    shown = one_line(labels)
    return shown if len(shown) <= room else shown[: room - 1].rstrip() + "…"


def _cpus(milli: int) -> str:
    return f"{milli / 1000:g}"


def _gib(megabytes: int) -> str:
    return f"{megabytes / 1024:.1f}".removesuffix(".0")
