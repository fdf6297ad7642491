"""What a server was asked for, and what follows from it."""

from __future__ import annotations

import math
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wasmgrid.core.errors import InvalidField
from wasmgrid.home import Home, write_atomically

if TYPE_CHECKING:  # numpy
    from wasmgrid.scheduling.scheduler import Policy

TOKEN_VARIABLE = "WASMGRID_TOKEN"  # noqa: S105 -- the name of a variable
MIN_TOKEN = 16
LEAST_LEASE_S = 2.0  # a worker says every second that it is there
WILDCARDS = frozenset({"0.0.0.0", "::"})  # noqa: S104 -- compared with, not listened on


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """What `wasmgrid up` and `wasmgrid server` were asked for.

    `port` None: 3030, or a free one where that is taken. `listen`: an address of this machine on which others reach API
    and fabric, with TLS; they know it as `advertise`. `fabric_port`: of our own NATS there. `store_url`:
    postgresql://..., which several servers may share. `nats_url`: an existing fabric (several comma-separated), with
    `nats_credential`, a file, where it wants one. `lease_s`: when a silent worker loses its tasks. `policy`: of several
    workers that fit, the fullest or the emptiest. `idle_exit_s`: stop after so long without unfinished jobs and
    requests. `worker_arguments` go to the worker as they are. `verbose`: the whole log on stderr, not warnings alone.
    `log_format` is text or json.
    """

    home: Home
    host: str = "127.0.0.1"
    port: int | None = None
    listen: str | None = None
    advertise: str | None = None
    fabric_port: int | None = None
    store_url: str | None = None
    nats_url: str | None = None
    nats_credential: Path | None = None
    lease_s: float = 10.0
    policy: Policy = "best_fit"
    with_worker: bool = True
    idle_exit_s: float | None = None
    unsandboxed_builds: bool = False
    worker_arguments: tuple[str, ...] = ()
    verbose: bool = False
    log_format: str = "text"

    @property
    def address(self) -> str:
        """What the API listens on."""
        return self.host if self.listen is None else self.listen

    @property
    def alone(self) -> bool:
        """Whether no other server can share this one's store."""
        return self.store_url is None

    @property
    def advertised(self) -> str:
        """The name under which other machines find this one."""
        if self.advertise is not None:
            return self.advertise
        return socket.gethostname() if self.address in WILDCARDS else self.address

    @property
    def names(self) -> list[str]:
        """Every name under which others may call this server, beside those of loopback."""
        if self.listen is None:
            return [] if self.advertise is None else [self.advertise]
        own = [] if self.listen in WILDCARDS else [self.listen]
        return list(dict.fromkeys([self.advertised, *own, socket.gethostname()]))


def check(options: ServeOptions) -> None:
    """Raise `InvalidField` where something was asked for that cannot be."""
    if not (math.isfinite(options.lease_s) and options.lease_s >= LEAST_LEASE_S):
        raise InvalidField(
            f"the lease cannot be {options.lease_s:g} s, {LEAST_LEASE_S:g} s is the least", field="lease"
        )
    if options.fabric_port is not None and (options.listen is None or options.nats_url or options.nats_credential):
        raise InvalidField(
            "--fabric-port is where our own NATS serves other machines",
            hint="it goes with --listen, and not with --nats",
            field="fabric_port",
        )


def token_of(options: ServeOptions) -> str:
    """The API's token: the home's own; of servers that share a store, the one in $WASMGRID_TOKEN where it is set.

    It is then the home's token from now on, so that commands on this machine find it. Raises `InvalidField` for one
    that could be guessed.
    """
    given = os.environ.get(TOKEN_VARIABLE, "").strip()
    if options.alone or not given:
        return options.home.ensure_token()
    if len(given) < MIN_TOKEN or not given.isascii() or not given.isprintable():
        raise InvalidField(
            f"${TOKEN_VARIABLE} is no token: at least {MIN_TOKEN} characters of ASCII",
            hint='make one: python3 -c "import secrets; print(secrets.token_urlsafe(32))"',
            field="token",
        )
    write_atomically(options.home.token_file, given + "\n", mode=0o600)
    return given
