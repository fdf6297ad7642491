"""`credential`: what workers and servers join with. Secrets are made here and never travel to a server."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from wasmgrid.cli import options, tables
from wasmgrid.cli.connecting import client
from wasmgrid.cli.terminal import print_json, print_table, say
from wasmgrid.core.errors import InvalidPath, WasmgridError
from wasmgrid.sdk import calls, views
from wasmgrid.sdk.client import Client

if TYPE_CHECKING:
    from wasmgrid.fabric.authorization import User
    from wasmgrid.fabric.credentials import Credential, Kind

STDOUT = "-"
_into = click.option("-o", "--output", metavar="FILE|-", help="Where it goes (default: NAME.json; - is stdout).")


@click.group()
def credential() -> None:
    """Make, list and revoke credentials: what workers and servers show the grid's NATS to be let in."""


@credential.command()
@click.argument("name", type=options.Name(), metavar="NAME")
@_into
@options.server
def worker(name: str, output: str | None, server: str | None) -> int:
    """Make a worker's credential. With it run the workers NAME, NAME:2, NAME:3, ..., and it reaches nothing else."""
    made = _made_into(server, name, "worker", output)
    if made is not None:
        say(f"start one: wasmgrid worker --credential {made} · revoke: wasmgrid credential revoke {name}")
    return 0


@credential.command()
@click.argument("name", type=options.Name(), metavar="NAME")
@_into
@options.server
def server(name: str, output: str | None, server: str | None) -> int:
    """Make the credential of one more server of this grid. It may do everything there: keep it."""
    made = _made_into(server, name, "server", output)
    if made is not None:
        say(f"start one: wasmgrid server --nats-credential {made} · revoke: wasmgrid credential revoke {name}")
    return 0


@credential.command("list")
@options.output
@options.server
def list_(output: str, server: str | None) -> int:
    """List the credentials that were made, the revoked ones too."""
    body = client(server).send(calls.raw(calls.credentials()))
    if output == options.JSON:
        return print_json(body)
    found = msgspec.json.decode(body, type=views.Credentials).credentials
    print_table(tables.credentials(found, now=datetime.now(UTC), wide=output == options.WIDE))
    if not found:
        say("no credentials yet · make one: wasmgrid join-command")
    return 0


@credential.command()
@click.argument("name", type=options.Name(), metavar="NAME")
@options.server
def revoke(name: str, server: str | None) -> int:
    """End a credential: whoever holds it is cut off, and their tasks go elsewhere."""
    client(server).send(calls.revoke_credential(name))
    say(f"{name} is revoked: it is let in no more, and what ran there goes elsewhere")
    return 0


@credential.command()
@options.server
def authorization(server: str | None) -> int:
    """Print what a NATS of your own includes as its authorization: everyone who is let in, and to what.

    A grid's own NATS has it already. For files that `wasmgrid cluster init` made: wasmgrid cluster authorize DIR.
    """
    click.echo(client(server).send(calls.authorization()), nl=False)
    return 0


def make(connection: Client, name: str, kind: Kind) -> Credential:
    """A new credential, known to the grid from now on. Raises `InvalidField` where the name is taken."""
    from wasmgrid.fabric.credentials import Credential, make  # noqa: PLC0415 -- most commands need no fabric

    seed, public_key = make()
    there = connection.send(calls.add_credential(name, kind, public_key))
    return Credential(name=name, kind=kind, nats_url=there.nats_url, seed=seed, ca=there.ca)


def admitted(connection: Client) -> list[User]:
    """Every credential that counts."""
    from wasmgrid.fabric.authorization import User  # noqa: PLC0415 -- most commands need no fabric

    found = connection.send(calls.credentials()).credentials
    return [
        User(name=each.name, kind="server" if each.kind == "server" else "worker", public_key=each.public_key)
        for each in found
        if each.revoked_at is None
    ]


def tell_cluster(made: Credential) -> None:
    """Say what is left to do where the grid's NATS is a service of its own."""
    if "," in made.nats_url:
        say(f"the grid's NATS does not know {made.name} yet: wasmgrid cluster authorize DIR, as docs/deploy.md has it")


def _made_into(server: str | None, name: str, kind: Kind, output: str | None) -> Path | None:
    """Make one and write it; the file, or None for stdout."""
    target = None if output == STDOUT else Path(output or f"{name}.json")
    if target is not None and target.exists():
        raise InvalidPath(f"{target} is there already", hint="write another file: -o FILE", field="output")
    connection = client(server)
    made = make(connection, name, kind)
    if target is None:
        click.echo(made.text(), nl=False)
        return None
    try:
        made.write(target)
    except WasmgridError:
        connection.send(calls.revoke_credential(name))  # nobody has it, nobody ever will
        raise
    say(f"{target} holds the {kind} credential {name}, a secret: whoever has the file may join as {name}")
    tell_cluster(made)
    return target
