"""Every subject on the fabric. Ids are checked here, so that none can widen a subject (`*`, `>`, `.`)."""

from __future__ import annotations

from wasmgrid.core.worker import check_id

_ROOT = "wasmgrid"


def hello() -> str:
    """Leader -> all workers: `Hello`."""
    return f"{_ROOT}.hello"


def leader() -> str:
    """Workers -> whoever leads: `Inventory`, `Heartbeat`, `Progress`, `Refused`, `Results`, `Leave`."""
    return f"{_ROOT}.leader"


def worker(worker_id: str) -> str:
    """Leader and servers -> one worker: `Assign`, `Cancel`, `TailRequest`."""
    return f"{_ROOT}.worker.{check_id(worker_id, field='worker_id')}"


def blobs() -> str:
    """Anyone -> any server (a queue group): `BlobRequest`."""
    return f"{_ROOT}.blobs"


def server_blobs(server_id: str) -> str:
    """Worker -> one server, because the frames of an upload must meet: `BlobPut`."""
    return f"{_ROOT}.server.{check_id(server_id, field='server_id')}.blobs"
