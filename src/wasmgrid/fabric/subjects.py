"""Every subject on the fabric. Ids are checked here, so that none can widen a subject (`*`, `>`, `.`).

A worker's subjects hold the name of its credential and its number under it as tokens of their own, so that NATS can
keep each credential to its own workers.
"""

from __future__ import annotations

from wasmgrid.core.worker import check_id, check_worker_id

_ROOT = "wasmgrid"
INBOX = "_INBOX"


def hello() -> str:
    """Leader -> all workers: `Hello`."""
    return f"{_ROOT}.hello"


def leader(worker_id: str) -> str:
    """That worker -> whoever leads: `Inventory`, `Heartbeat`, `Progress`, `Refused`, `Results`, `Leave`."""
    return f"{_ROOT}.leader.{_tokens(worker_id)}"


def leaders() -> str:
    """What a leader listens to: every worker's `leader`."""
    return f"{_ROOT}.leader.*.*"


def worker(worker_id: str) -> str:
    """Leader and servers -> one worker: `Assign`, `Cancel`, `ResultsAck`, `DrainWorker`, `TailRequest`."""
    return f"{_ROOT}.worker.{_tokens(worker_id)}"


def speaker(subject: str) -> str:
    """The worker whose `leader` or `worker` this subject is."""
    *_, name, number = subject.split(".")
    return name if number == "1" else f"{name}:{number}"


def ask() -> str:
    """Servers -> whoever leads: `Ask`, answered with `Answer`; and the hints `Submitted`, `CancelAsked`."""
    return f"{_ROOT}.ask"


def changes() -> str:
    """Leader -> servers: `Changes`."""
    return f"{_ROOT}.changes"


def blobs() -> str:
    """Anyone -> any server (a queue group): `BlobRequest`."""
    return f"{_ROOT}.blobs"


def server_blobs(server_id: str) -> str:
    """Worker -> one server: `BlobPut`, as the frames of an upload must meet; `BlobRequest` where others are silent."""
    return f"{_ROOT}.server.{check_id(server_id, field='server_id')}.blobs"


def inbox(name: str) -> str:
    """Where answers to whoever has the credential `name` arrive, and its own to servers, in subjects below this."""
    return f"{INBOX}.{check_id(name, field='name')}"


def claims(worker_id: str) -> str:
    """Workers of one credential among themselves: `Claim`, to this id."""
    name, number = _tokens(worker_id).split(".")
    return f"{inbox(name)}.claims.{number}"


def of_worker(name: str) -> tuple[list[str], list[str]]:
    """What the worker's credential `name` may (publish, subscribe): its own, and what every worker needs."""
    check_id(name, field="name")
    own = f"{inbox(name)}.>"
    publish = [f"{_ROOT}.leader.{name}.*", blobs(), f"{_ROOT}.server.*.blobs", own]
    return publish, [f"{_ROOT}.worker.{name}.*", hello(), own]


def of_server() -> tuple[list[str], list[str]]:
    """What a server's credential may (publish, subscribe): everything of a grid."""
    return [f"{_ROOT}.>", f"{INBOX}.>"], [f"{_ROOT}.>", f"{INBOX}.>"]


def worker_of(subject: str) -> str | None:
    """The subject of the worker who spoke on `subject`, where it is one that workers speak on to the leader."""
    root, _, rest = subject.partition(".leader.")
    return f"{_ROOT}.worker.{rest}" if root == _ROOT and rest.count(".") == 1 else None


def asked_worker(subject: str) -> str | None:
    """The name of the credential of the worker whose `worker` this subject is, where it is one."""
    root, _, rest = subject.partition(".worker.")
    return rest.partition(".")[0] if root == _ROOT and rest.count(".") == 1 else None


def _tokens(worker_id: str) -> str:
    name, _, number = check_worker_id(worker_id, field="worker_id").partition(":")
    return f"{name}.{number or 1}"
