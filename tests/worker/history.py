"""What a worker's history shows."""

from __future__ import annotations

from collections.abc import Iterable

from wasmgrid.worker import starts


def never_shared(entries: Iterable[starts.Entry]) -> bool:
    """Whether no GPU had two attempts at a time."""
    owners: dict[int, int] = {}
    for entry in entries:
        if isinstance(entry, starts.Life):
            owners.clear()
        elif isinstance(entry, starts.Ended):
            owners = {gpu: owner for gpu, owner in owners.items() if owner != entry.attempt}
        elif isinstance(entry, starts.Ran):
            continue
        elif owners.keys() & set(entry.gpus):
            return False
        else:
            owners |= dict.fromkeys(entry.gpus, entry.attempt)
    return True
