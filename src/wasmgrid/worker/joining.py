"""Who a worker is, and where its grid is."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Container, Iterator
from dataclasses import replace
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING

from wasmgrid.core.errors import HomeInUse, InvalidField, NotFound
from wasmgrid.core.worker import check_worker_id
from wasmgrid.home import FabricEndpoint, Home
from wasmgrid.worker.options import WorkerOptions

if TYPE_CHECKING:
    from wasmgrid.fabric.credentials import Credential

MOST_WORKERS = 9999  # of one credential in one home


class IdTaken(HomeInUse):
    """Another process is this worker, on another machine or in another home."""


def credential_of(options: WorkerOptions) -> Credential | None:
    """The credential that was given, or None. Raises `NotFound`, `Unavailable` or `InvalidField`."""
    if options.credential is None:
        return None
    from wasmgrid.fabric import credentials  # noqa: PLC0415 -- most workers need none

    credential = credentials.read(options.credential)
    if credential.kind != "worker":
        raise InvalidField(
            f"{credential.name} is the credential of a {credential.kind}",
            hint="make one for a worker: wasmgrid credential worker NAME",
            field="credential",
        )
    return credential


def endpoint(options: WorkerOptions, credential: Credential | None) -> Callable[[], FabricEndpoint]:
    """Where the fabric is: read anew at every connection, because a restarted server may have another port."""
    joined = None if options.join is None else FabricEndpoint.parse(options.join)
    if credential is not None:
        url = credential.nats_url if joined is None else joined.url
        there = FabricEndpoint(url=url, seed=credential.seed, ca=credential.ca)
        return lambda: there

    def read() -> FabricEndpoint:
        ours = options.home.fabric()
        if joined is None:
            if ours is None:
                raise NotFound(
                    f"no grid in {options.home.path} yet", hint="start one: wasmgrid up, or name one: --join URL"
                )
            return ours
        if joined.user is not None and not joined.password and ours is not None and ours.user == joined.user:
            return replace(joined, password=ours.password)
        return joined

    return read


def claim(
    home: Home, worker_id: str | None, credential: Credential | None, *, taken: Container[str] = ()
) -> tuple[str, int]:
    """The worker's id, and the descriptor that holds its directory for as long as it is open.

    Without an id it is the first free one: w1, w2, ... or, of a credential NAME: NAME, NAME:2, ..., but for those that
    are `taken` elsewhere. Raises `HomeInUse`, `InvalidField` (an id that the credential does not cover).
    """
    if worker_id is None:
        name = None if credential is None else credential.name
        for one in _ids(name):
            if one not in taken and (descriptor := _try_lock(home.worker(one))) is not None:
                return one, descriptor
        raise HomeInUse(f"{MOST_WORKERS} workers of {name} run here already")
    check_worker_id(worker_id, field="worker_id")
    if credential is not None and worker_id.partition(":")[0] != credential.name:
        raise InvalidField(
            f"the credential of {credential.name} does not cover the id {worker_id}",
            hint=f"leave --id out, or give {credential.name} or {credential.name}:2 (3, 4, ...)",
            field="worker_id",
        )
    descriptor = _try_lock(home.worker(worker_id))
    if descriptor is None:
        raise HomeInUse(f"the worker {worker_id} runs already", hint="give this one another name: --id NAME")
    return worker_id, descriptor


def _ids(name: str | None) -> Iterator[str]:
    if name is None:
        return (f"w{number}" for number in count(1))
    return chain([name], (f"{name}:{number}" for number in range(2, MOST_WORKERS + 1)))


def _try_lock(directory: Path) -> int | None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
