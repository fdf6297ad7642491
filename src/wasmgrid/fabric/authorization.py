"""Who may do what on the fabric, as nats-server's configuration: the file that its `authorization` block includes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import structlog

from wasmgrid.core.worker import check_id
from wasmgrid.fabric import subjects
from wasmgrid.fabric.credentials import Kind, check_public_key

FILE_NAME = "authorization.conf"
INCLUDED = f'authorization {{ include "{FILE_NAME}" }}\n'
_NOTHING = {"publish": {"deny": [">"]}, "subscribe": {"deny": [">"]}}

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class User:
    """A credential that is admitted: its name, its kind, and the public nkey that proves it."""

    name: str
    kind: Kind
    public_key: str


def text(users: Iterable[User], *, owner: tuple[str, str] | None = None, marker: tuple[str, str] | None = None) -> str:
    """The file for these users. Raises `InvalidField` for a name or a key that is none.

    `owner`: (name, password) with a server's permissions. `marker`: likewise with none at all; whoever is let in with
    it knows that this file, and no earlier one, is in force.
    """
    entries: list[dict[str, Any]] = []
    if owner is not None:
        entries.append({"user": owner[0], "password": owner[1], "permissions": _server()})
    if marker is not None:
        entries.append({"user": marker[0], "password": marker[1], "permissions": _NOTHING})
    keys: set[str] = set()
    for user in users:
        if user.public_key in keys:  # nats-server would refuse the whole file
            log.error("fabric: two credentials with one key; the later one is left out", name=user.name)
            continue
        keys.add(user.public_key)
        entries.append(_entry(user))
    lines = ",\n".join(f"  {json.dumps(entry)}" for entry in entries)
    return (
        f"# Written by wasmgrid; nats-server reads it when it starts and on SIGHUP.\ntimeout: 5\nusers: [\n{lines}\n]\n"
    )


def _entry(user: User) -> dict[str, Any]:
    permissions = _server() if user.kind == "server" else _worker(check_id(user.name, field="name"))
    return {"nkey": check_public_key(user.public_key), "permissions": permissions}


def _server() -> dict[str, Any]:
    publish, subscribe = subjects.of_server()
    return {"publish": {"allow": publish}, "subscribe": {"allow": subscribe}}


def _worker(name: str) -> dict[str, Any]:
    """No `allow_responses`: a message to oneself that names any subject for its answer would open that subject.

    What a server asks a worker is answered below the worker's own inbox.
    """
    publish, subscribe = subjects.of_worker(name)
    return {"publish": {"allow": publish}, "subscribe": {"allow": subscribe}}
