"""`dev`: a program built and run again each time that it is saved."""

from __future__ import annotations

import contextlib
import sys
import threading
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from wasmgrid.cli import jobfile, options
from wasmgrid.cli.connecting import client, client_or_start, submitted
from wasmgrid.cli.jobflags import job_flags
from wasmgrid.cli.requesting import prepared
from wasmgrid.cli.saving import Files, of_job
from wasmgrid.cli.terminal import say
from wasmgrid.cli.watching import cancel, follow
from wasmgrid.core.errors import WasmgridError
from wasmgrid.sdk.client import Client
from wasmgrid.sdk.prepare import Prepared


@click.command()
@click.argument("program", metavar="FILE|DIRECTORY|JOB.toml", type=options.FileName())
@click.argument("args", nargs=-1, metavar="[-- ARGS...]")
@job_flags
@options.server
def dev(program: str, server: str | None, **given: Any) -> int:
    """Run a program, and again each time that it, its job file or its inputs are saved, until Ctrl-C.

    What is still running then is cancelled. What a save does not change is not run again.

    \b
        wasmgrid dev main.rs -- first second
        wasmgrid dev job.toml
    """
    if program == "-":
        raise click.UsageError("standard input is never saved; name a file, a directory or a job file")
    context = click.get_current_context()
    files = Files(lambda: of_job(*jobfile.merged(context, program, given)), always=[Path(program)])
    connection = client_or_start(server)
    turn = _Turn(server)
    last: Prepared | None = None
    try:
        while True:
            seen = files.settled()
            request = _request(context, program, given)
            if request is not None and (last is None or request.spec != last.spec):
                last = request
                turn.run(connection, request, files, seen)
                say(_rule("waiting for a change · Ctrl-C ends"))
            elif request is None:
                last = None
            files.until_changed(seen)
    except KeyboardInterrupt:
        turn.cancel()
        sys.stderr.write("\n" if sys.stderr.isatty() else "")
        return 0


def _request(context: click.Context, program: str, given: dict[str, Any]) -> Prepared | None:
    """What is to run now; None where it cannot be, which is said: the next save may mend it."""
    try:
        return prepared(*jobfile.merged(context, program, given))
    except WasmgridError as error:
        say(str(error))
    except click.ClickException as error:
        say(f"error[usage]: {error.format_message()}")
    return None


class _Turn:
    """One run after the other; what runs is cancelled when its source changes, or when nobody wants it any more."""

    def __init__(self, server: str | None) -> None:
        self._server = server
        self._count = 0
        self._job_id: int | None = None

    def run(self, connection: Client, request: Prepared, files: Files, seen: object) -> None:
        """Submit it and follow it to its end, which a change brings about early."""
        self._count += 1
        say(_rule(f"{datetime.now().astimezone():%H:%M:%S} · run {self._count}"))
        try:
            job = submitted(connection, request)
            self._job_id = job.id
            ended = threading.Event()
            watcher = threading.Thread(target=self._cancel_on_change, args=(files, seen, ended), daemon=True)
            watcher.start()
            try:
                follow(self._server, connection, job)
            finally:
                ended.set()
                watcher.join()
        except WasmgridError as error:
            say(str(error))
        self._job_id = None

    def cancel(self) -> None:
        """End what runs; says so where that is not known to have worked."""
        job_id, self._job_id = self._job_id, None
        if job_id is None:
            return
        try:
            cancel(self._server, job_id)
        except WasmgridError as error:
            say(f"{error} · job {job_id} may still run: wasmgrid cancel {job_id}")

    def _cancel_on_change(self, files: Files, seen: object, ended: threading.Event) -> None:
        if files.until_changed(seen, ended):
            with contextlib.suppress(WasmgridError), client(self._server) as connection:
                if self._job_id is not None:
                    connection.cancel(self._job_id)


def _rule(text: str) -> str:
    """A line that parts one run from the next."""
    return f"── {text} " + "─" * max(3, 60 - len(text))
