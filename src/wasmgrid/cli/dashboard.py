"""`dashboard`: a link that signs a browser in, once, without the token in it."""

from __future__ import annotations

import html

import click
import msgspec

from wasmgrid.cli import options
from wasmgrid.cli.connecting import client
from wasmgrid.cli.terminal import print_json, say
from wasmgrid.home import Home, write_atomically
from wasmgrid.sdk import calls
from wasmgrid.sdk.client import Client

_PAGE = """<!doctype html><meta charset="utf-8"><meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url={url}"><title>wasmgrid</title><a href="{url}">To the dashboard</a>
"""


@click.command()
@click.option("--open", "opens", is_flag=True, help="Open it in this machine's browser, too.")
@click.option("--sign-out", is_flag=True, help="Sign every browser out instead, and void every unused link.")
@options.server
@options.as_json
def dashboard(opens: bool, sign_out: bool, server: str | None, as_json: bool) -> int:
    """Print a link to the dashboard. It signs one browser in, once, within ten minutes.

    \b
        wasmgrid dashboard --open
        wasmgrid dashboard --sign-out      sign every browser out
    """
    connection = client(server)
    if sign_out:
        ended = connection.send(calls.end_sign_ins()).ended
        if as_json:
            return print_json(msgspec.json.encode({"ended": ended}))
        say(f"ended: {ended} of sessions and unused links")
        return 0
    link = link_of(connection)
    if as_json:
        return print_json(msgspec.json.encode({"url": link}))
    click.echo(link)
    if opens and not _open(link):
        say("no browser could be opened here: open the link yourself")
    return 0


def link_of(connection: Client) -> str:
    """A new link, below the address under which this client reaches the server."""
    made = connection.send(calls.make_sign_in())
    return connection.url + made.path


def _open(link: str) -> bool:
    """Open it without the link in any process's arguments: they name a file that only this user can read."""
    import webbrowser  # noqa: PLC0415 -- only --open needs it

    page = Home.default().create().path / "dashboard.html"
    write_atomically(page, _PAGE.format(url=html.escape(link)), mode=0o600)
    return webbrowser.open(page.as_uri())
