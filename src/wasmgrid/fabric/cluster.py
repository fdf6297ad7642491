"""nats-server's configuration for a cluster of several, one directory for each machine, to be run like any service.

    NAME/nats.conf  ca.pem  server.pem  server.key  authorization.conf        ca/ stays with whoever made the cluster

Clients and the other nodes are met with TLS by one authority. Who is admitted is in `authorization.conf`, the same at
every node: after `authorize`, copy it to where the node runs and have the node read it (`systemctl reload`, SIGHUP).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wasmgrid.core.errors import InvalidField
from wasmgrid.core.worker import check_id
from wasmgrid.fabric import authorization, certificates
from wasmgrid.fabric.authorization import User
from wasmgrid.fabric.natsserver import COMMON, bracketed, render
from wasmgrid.home import write_atomically

CLIENT_PORT, ROUTE_PORT = 4222, 6222
AUTHORITY = "ca"


@dataclass(frozen=True, kw_only=True)
class Node:
    """One nats-server: its name, and where clients and the other nodes reach it.

    `listen` is the address that it binds. `monitor_port` (loopback alone) answers /healthz, /varz and /routez.
    """

    name: str
    host: str
    client_port: int = CLIENT_PORT
    route_port: int = ROUTE_PORT
    listen: str = "0.0.0.0"  # noqa: S104 -- other machines are to reach it
    monitor_port: int | None = None

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"tls://{bracketed(self.host)}:{self.client_port}"


def write(directory: Path, nodes: Sequence[Node], users: Iterable[User] = ()) -> str:
    """Make `directory`/NAME for each node, and give the authority's certificate (PEM text).

    What is there is written anew, with the same authority and the same secret between nodes, so that a node can be
    added. Raises `InvalidField` for names that are none or equal, `Unavailable` where certificates cannot be made.
    """
    names = [check_id(node.name, field="node") for node in nodes]
    if len(set(names)) < len(names) or AUTHORITY in names:
        raise InvalidField(f"each node needs a name of its own, other than {AUTHORITY!r}", field="node")
    issued = [
        certificates.issue(directory / AUTHORITY, [node.host, *certificates.LOCAL_HOSTS], into=directory / node.name)
        for node in nodes
    ]
    secret = _secret(directory / AUTHORITY / "routes.secret")
    for node in nodes:
        write_atomically(directory / node.name / "nats.conf", _config(node, nodes, secret), mode=0o600)
    authorize(directory, users)
    return issued[0].ca_pem


def authorize(directory: Path, users: Iterable[User]) -> None:
    """Write who is admitted to every node's directory. The nodes act on it once each has been told to reload."""
    text = authorization.text(users)
    for config in directory.glob("*/nats.conf"):
        write_atomically(config.with_name(authorization.FILE_NAME), text, mode=0o600)


def _config(node: Node, nodes: Sequence[Node], secret: str) -> str:
    """Files are named relative to the directory that nats-server is started in: the node's own."""
    files = {"cert_file": "server.pem", "key_file": "server.key", "ca_file": "ca.pem"}
    settings: dict[str, Any] = {
        "server_name": node.name,
        "listen": f"{bracketed(node.listen)}:{node.client_port}",
        **COMMON,
        "tls": {"cert_file": files["cert_file"], "key_file": files["key_file"], "timeout": 5},
        "cluster": {
            "name": "wasmgrid",
            "listen": f"{bracketed(node.listen)}:{node.route_port}",
            "authorization": {"user": "route", "password": secret, "timeout": 5},
            "routes": [
                f"nats-route://route:{secret}@{bracketed(other.host)}:{other.route_port}"
                for other in nodes
                if other.name != node.name
            ],
            "tls": {**files, "verify": True, "timeout": 5},
            "no_advertise": True,  # clients know the nodes by the names that the certificates have
            "ping_interval": "1s",  # a node that hangs is given up after 3 s, and what it served goes elsewhere
            "ping_max": 2,
        },
    }
    if node.monitor_port is not None:
        settings["http"] = f"127.0.0.1:{node.monitor_port}"
    return render(settings)


def _secret(path: Path) -> str:
    if not path.exists():
        write_atomically(path, secrets.token_urlsafe(32), mode=0o600)
    return path.read_text(encoding="ascii").strip()
