"""The workers of a grid, asked of a server: workers, drain, cordon, uncordon."""

from __future__ import annotations

import time
from collections.abc import Callable

import click
import msgspec

from wasmgrid.cli import options, several, workertable
from wasmgrid.cli.connecting import client
from wasmgrid.cli.terminal import Progress, print_json, print_table, say
from wasmgrid.core.errors import TimedOutWaiting
from wasmgrid.sdk import calls, views
from wasmgrid.sdk.client import Client

_POLL_S = 0.2
_worker_ids = click.argument("workers", type=options.WorkerId(), nargs=-1, required=True, metavar="WORKER...")


@click.command()
@click.option("-w", "--wide", is_flag=True, help="The same as --output wide: host, GPUs, labels, what each runs.")
@options.output
@options.server
def workers(wide: bool, output: str, server: str | None) -> int:
    """List the workers: what each has, how much of it is taken, and why one takes nothing new."""
    body = client(server).send(calls.raw(calls.workers()))
    if output == options.JSON:
        return print_json(body)
    found = msgspec.json.decode(body, type=views.Workers).workers
    if wide or output == options.WIDE:
        click.echo(workertable.wide(found), nl=False)
    else:
        print_table(workertable.narrow(found))
    return 0


@click.command()
@_worker_ids
@click.option("--wait", is_flag=True, help="Return when they are gone.")
@click.option("--timeout", "timeout_s", type=options.Duration(), help="With --wait, give up after this.")
@options.server
def drain(workers: tuple[str, ...], wait: bool, timeout_s: float | None, server: str | None) -> int:
    """Let workers finish what they hold, take nothing more, and go."""
    connection = client(server)
    drained: list[str] = []

    def one(worker_id: str) -> int:
        found = connection.drain(worker_id)
        drained.append(worker_id)
        say(f"{worker_id} is {found.state or 'draining'}" + (f", {_holding(found)}" if found.running else ""))
        return 0

    code = several.each(workers, one)
    if wait and drained:
        _until_gone(connection, tuple(drained), timeout_s)
    return code


@click.command()
@_worker_ids
@options.server
def cordon(workers: tuple[str, ...], server: str | None) -> int:
    """Give workers nothing new; what they hold goes on. Also after they come again, until `wasmgrid uncordon`."""
    return _each(workers, client(server).cordon, "takes nothing new · let it go on: wasmgrid uncordon {id}")


@click.command()
@_worker_ids
@options.server
def uncordon(workers: tuple[str, ...], server: str | None) -> int:
    """Give workers tasks again that were cordoned or quarantined."""
    return _each(workers, client(server).uncordon, "takes tasks again")


def _each(workers: tuple[str, ...], act: Callable[[str], views.Worker], told: str) -> int:
    def one(worker_id: str) -> int:
        act(worker_id)
        say(f"{worker_id} {told.format(id=worker_id)}")
        return 0

    return several.each(workers, one)


def _until_gone(connection: Client, workers: tuple[str, ...], timeout_s: float | None) -> None:
    """Wait until none of these is there; what they still hold is said meanwhile."""
    ends_at = None if timeout_s is None else time.monotonic() + timeout_s
    progress = Progress()
    try:
        while left := [each for each in connection.workers() if each.id in workers]:
            if ends_at is not None and time.monotonic() > ends_at:
                raise TimedOutWaiting(
                    f"{left[0].id} is still there after {timeout_s:g} s: {_holding(left[0])}",
                    hint=f"it goes once that is over · stop it: wasmgrid cancel {_job(left[0])}",
                )
            progress.say("; ".join(f"{each.id}: {_holding(each)}" for each in left))
            time.sleep(_POLL_S)
    finally:
        progress.clear()
    say(f"gone: {', '.join(workers)}")


def _holding(worker: views.Worker) -> str:
    if not worker.running:
        return "nothing runs there"
    shown = ", ".join(worker.running[:3])
    more = len(worker.running) - 3
    return f"finishing {shown}" + (f" and {more} more" if more > 0 else "")


def _job(worker: views.Worker) -> str:
    numbers = [each.removeprefix("job ") for each in worker.running if each.startswith("job ")]
    return numbers[0] if numbers else "ID"
