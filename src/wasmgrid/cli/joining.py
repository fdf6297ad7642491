"""`join-command`: one line to paste on another machine, which then works for this grid."""

from __future__ import annotations

import ipaddress
import shlex
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click
import msgspec

from wasmgrid.cli import credentials, options
from wasmgrid.cli.connecting import client
from wasmgrid.cli.terminal import say
from wasmgrid.core.errors import InvalidField
from wasmgrid.sdk import calls
from wasmgrid.sdk.client import Client

if TYPE_CHECKING:
    from wasmgrid.fabric.credentials import Credential

_ATTEMPTS = 20  # of names, while others make credentials too


@click.command("join-command")
@click.argument("name", type=options.Name(), required=False, metavar="[NAME]")
@options.server
def join_command(name: str | None, server: str | None) -> int:
    """Print one line to paste on another machine with wasmgrid: a worker starts there and joins this grid.

    The line holds a new credential, NAME (default: pool1, pool2, ...), which reaches the shell's standard input and no
    process's arguments. What `wasmgrid worker` takes may be added at its end.
    """
    connection = client(server)
    made = credentials.make(connection, name, "worker") if name else _first_free(connection)
    click.echo(line(made))
    say(
        f"this line holds the credential {made.name}, a secret: where it is pasted, a worker of this grid runs · "
        f"revoke it: wasmgrid credential revoke {made.name}"
    )
    credentials.tell_cluster(made)
    if _is_local(made.nats_url):
        say(f"warning: {made.nats_url} is reached from this machine alone · for others: wasmgrid up --listen ADDR")
    return 0


def line(made: Credential) -> str:
    """What to type elsewhere: the secret goes through a pipe, as arguments are for everyone to see."""
    compact = msgspec.json.encode(made).decode()
    return f"printf %s {shlex.quote(compact)} | wasmgrid worker --join {shlex.quote(made.nats_url)} --credential -"


def _first_free(connection: Client) -> Credential:
    """A credential under a name that was never used."""
    used = {each.name for each in connection.send(calls.credentials()).credentials}
    names = (f"pool{number}" for number in range(1, len(used) + _ATTEMPTS + 1))
    failure: InvalidField | None = None
    for name in names:
        if name in used:
            continue
        try:
            return credentials.make(connection, name, "worker")
        except InvalidField as error:  # somebody else took it just now
            failure = error
    raise failure or InvalidField("no name is free", hint="give one: wasmgrid join-command NAME")


def _is_local(nats_url: str) -> bool:
    """Whether all these addresses are of the loopback interface."""
    hosts = [urlsplit(each.strip()).hostname or "" for each in nats_url.split(",")]
    return all(host == "localhost" or _is_loopback(host) for host in hosts)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
