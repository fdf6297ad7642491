"""A job watched until its end, whatever it is: a program's output, a call's value, the results of many tasks."""

from __future__ import annotations

import sys
import time

import msgspec

from wasmgrid.cli import arraytext, ending, exits, taskoutput
from wasmgrid.cli.bar import Bar
from wasmgrid.cli.connecting import client
from wasmgrid.cli.following import Follower, waiting_for
from wasmgrid.cli.patience import AWAY, Patience
from wasmgrid.cli.terminal import GuestOutput, Progress, print_json, redraws, say
from wasmgrid.sdk import calls
from wasmgrid.sdk.client import Client
from wasmgrid.sdk.views import Job

SECOND_CTRL_C_S = 2.0  # how long a second Ctrl-C cancels what the first detached from
CANCELLED_S = 10.0  # how long the end of a job that is cancelled is awaited
POLL_S = 0.5


def watch(server: str | None, connection: Client, job: Job, *, as_json: bool, quiet: bool = False) -> int:
    """Follow `job` to its end as `run` does; returns what the command exits with. Ctrl-C detaches, twice cancels.

    `as_json` prints the finished job and nothing else, `quiet` what went wrong and the summary.
    """
    try:
        return follow(server, connection, job, as_json=as_json, quiet=quiet)
    except KeyboardInterrupt:
        return _interrupted(server, job.id)
    except BrokenPipeError:
        raise
    except OSError:
        say(f"job {job.id} goes on · come back: wasmgrid logs -f {job.id}")
        raise


def follow(server: str | None, connection: Client, job: Job, *, as_json: bool = False, quiet: bool = False) -> int:
    """The same, where Ctrl-C is the caller's affair."""
    follower = Follower(connection, lambda: client(server), job.id)
    follower.until_started()
    if as_json or quiet:
        until_done(follower.patience, job, drawn=not as_json)
    elif job.is_array:
        with Bar(job.task_count) as bar:
            taskoutput.pass_on(follower.patience, job, bar)
    else:
        follower.output()
    finished = follower.finished()
    if as_json:
        print_json(finished)
    shown = msgspec.json.decode(finished, type=Job)
    if not as_json:
        print_value(shown)
    return ending.tell(shown, follower.patience.client)


def print_value(job: Job) -> None:
    """What a single call of a function gave."""
    if job.spec.function is None or job.is_array or job.result is None:
        return
    text = arraytext.value(job.result.return_value)
    if text:
        output = GuestOutput(sys.stdout)
        output.write(text.encode() + b"\n")
        output.finish()


def until_done(patience: Patience, job: Job, *, drawn: bool) -> None:
    """Wait for a job's end: of an array with a bar where `drawn`, of another with a line on a terminal."""
    if not job.is_array:
        if drawn and redraws(sys.stderr):
            _until_done_alone(patience, job)
        return
    with Bar(job.task_count, quiet=not drawn) as bar:
        while not job.done:
            try:
                job = patience.client.send(calls.job(job.id, wait_s=POLL_S))
            except AWAY as error:
                patience.try_again(error)
                continue
            patience.heard()
            bar.see(job.counts)


def _until_done_alone(patience: Patience, job: Job) -> None:
    """Say what the job is at, and for how long, until it is over."""
    progress = Progress()
    began = time.monotonic()
    try:
        while not job.done:
            progress.say(f"job {job.id} {waiting_for(job)} · waited {time.monotonic() - began:.0f} s")
            try:
                job = patience.client.send(calls.job(job.id, wait_s=1.0))
            except AWAY as error:
                progress.clear()
                patience.try_again(error)
                continue
            patience.heard()
    finally:
        progress.clear()


def _interrupted(server: str | None, job_id: int) -> int:
    """Ctrl-C: detach and say how to come back; a second one, soon after, cancels."""
    try:
        say(
            f"detached: job {job_id} goes on · come back: wasmgrid logs -f {job_id} · "
            f"cancel: Ctrl-C again, or wasmgrid cancel {job_id}"
        )
        time.sleep(SECOND_CTRL_C_S)
    except KeyboardInterrupt:
        cancel(server, job_id)
    return exits.INTERRUPTED


def cancel(server: str | None, job_id: int) -> None:
    """Ask for its end, wait a while for it, and say how it is."""
    with client(server) as connection:
        connection.cancel(job_id)
        job = connection.wait(job_id, timeout_s=CANCELLED_S)
    say(f"job {job_id} is {job.state}" if job.done else f"job {job_id} is being cancelled")
