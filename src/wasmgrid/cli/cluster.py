"""`cluster`: the files of a grid on several machines, made in one place and carried to where they belong."""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wasmgrid.cli import options
from wasmgrid.cli.connecting import client
from wasmgrid.cli.credentials import admitted
from wasmgrid.cli.terminal import say
from wasmgrid.core.errors import InvalidField, NotFound
from wasmgrid.home import TOKEN_BYTES, write_atomically

if TYPE_CHECKING:
    from wasmgrid.fabric.authorization import User
    from wasmgrid.fabric.cluster import Node

CREDENTIAL = "credential.json"
_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(:(?P<client>\d{1,5}))?(:(?P<route>\d{1,5}))?")
_directory = click.argument("directory", type=click.Path(path_type=Path, file_okay=False), metavar="DIR")


class Hosts(click.ParamType[tuple[str, ...]]):
    """`HOST1,HOST2,...`; the value is a tuple of them."""

    name = "host,..."

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """At least one of them, each once."""
        if isinstance(value, tuple):
            return value
        hosts = tuple(each.strip() for each in str(value).split(",") if each.strip())
        if not hosts or len(set(hosts)) < len(hosts):
            self.fail(f"{value!r} is not HOST1,HOST2,...: each once", param, ctx)
        return hosts


@click.group()
def cluster() -> None:
    """Write the files of a grid on several machines: a cluster of NATS, servers, and who may join."""


@cluster.command()
@_directory
@click.option(
    "--nats",
    required=True,
    type=Hosts(),
    metavar="HOST1,HOST2,HOST3",
    help="Where NATS runs: HOST[:PORT[:ROUTE_PORT]].",
)
@click.option("--servers", default=(), type=Hosts(), metavar="HOST1,HOST2", help="Where wasmgrid server runs.")
def init(directory: Path, nats: tuple[str, ...], servers: tuple[str, ...]) -> int:
    """Make DIR: natsN/ for each NATS, serverN/ for each server's home, ca/ with the authority, which stays with you.

    What is there is kept: authority, secrets and credentials. So the same command with one more host adds it.
    """
    from wasmgrid.fabric import certificates  # noqa: PLC0415 -- most commands need no fabric
    from wasmgrid.fabric import cluster as files  # noqa: PLC0415

    nodes = [_node(number, text) for number, text in enumerate(nats, 1)]
    ca = files.write(directory, nodes)
    url = ",".join(node.url for node in nodes)
    for number, host in enumerate(servers, 1):
        place = directory / f"server{number}"
        certificates.issue(directory / files.AUTHORITY, [host, *certificates.LOCAL_HOSTS], into=place / "tls")
        write_atomically(place / "tls" / certificates.BROUGHT, "", mode=0o644)
        _credential(place / CREDENTIAL, f"server{number}", url, ca)
        write_atomically(place / "token", _token(directory / files.AUTHORITY / "token"), mode=0o600)
    files.authorize(directory, _servers(directory))
    _tell(directory, nodes, servers)
    return 0


@cluster.command()
@_directory
@options.server
def authorize(directory: Path, server: str | None) -> int:
    """Write who may join into DIR/natsN/authorization.conf: after a credential was made or revoked.

    Then carry each file to its machine and have nats-server read it: systemctl reload, or a SIGHUP.
    """
    from wasmgrid.fabric import cluster as files  # noqa: PLC0415 -- most commands need no fabric

    if not list(directory.glob("*/nats.conf")):
        raise NotFound(
            f"{directory} holds no cluster", hint=f"make one: wasmgrid cluster init {directory} --nats HOSTS"
        )
    first = _servers(directory)
    known = {user.public_key for user in first}
    users = [*first, *(user for user in admitted(client(server)) if user.public_key not in known)]
    files.authorize(directory, users)
    say(f"{len(users)} may join: {', '.join(user.name for user in users)} · carry {directory}/natsN/authorization.conf")
    return 0


def _node(number: int, text: str) -> Node:
    from wasmgrid.fabric.cluster import CLIENT_PORT, ROUTE_PORT, Node  # noqa: PLC0415 -- most commands need no fabric

    found = _HOST.fullmatch(text)
    if found is None:
        raise InvalidField(f"{text!r} is not HOST, HOST:PORT or HOST:PORT:ROUTE_PORT", field="nats")
    return Node(
        name=f"nats{number}",
        host=found["host"].strip("[]"),
        client_port=int(found["client"] or CLIENT_PORT),
        route_port=int(found["route"] or ROUTE_PORT),
    )


def _credential(path: Path, name: str, url: str, ca: str) -> None:
    """A server's credential; one that is there keeps its key and learns the addresses."""
    from wasmgrid.fabric.credentials import Credential, make, read  # noqa: PLC0415 -- most commands need no fabric

    seed = read(path).seed if path.exists() else make()[0]
    Credential(name=name, kind="server", nats_url=url, seed=seed, ca=ca).write(path)


def _token(path: Path) -> str:
    """The API's token, one for all servers."""
    if not path.exists():
        write_atomically(path, secrets.token_urlsafe(TOKEN_BYTES) + "\n", mode=0o600)
    return path.read_text(encoding="ascii")


def _servers(directory: Path) -> list[User]:
    """The servers that were made with the cluster, before there was a grid that could know them."""
    from wasmgrid.fabric.authorization import User  # noqa: PLC0415 -- most commands need no fabric
    from wasmgrid.fabric.credentials import public_key, read  # noqa: PLC0415

    found = [read(path) for path in sorted(directory.glob(f"*/{CREDENTIAL}"))]
    return [User(name=each.name, kind=each.kind, public_key=public_key(each.seed)) for each in found]


def _tell(directory: Path, nodes: list[Node], servers: tuple[str, ...]) -> None:
    """What belongs where, and what to type there."""
    for node in nodes:
        say(f"{directory}/{node.name} · for {node.host}: nats-server --config nats.conf, started in that directory")
    for number, host in enumerate(servers, 1):
        say(
            f"{directory}/server{number} · for {host}, as the beginning of its home: wasmgrid server --listen 0.0.0.0 "
            f"--advertise {host} --nats-credential {CREDENTIAL}, with WASMGRID_STORE=postgresql://..."
        )
    say(f"{directory}/ca · stays here: with its key one can be any of them; ca.pem and token are what clients need")
    if servers:
        say(f"then a worker: wasmgrid join-command, and wasmgrid cluster authorize {directory}")
