"""A job watched until its end: why it waits, then what it writes, as it comes; over lost connections too."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from wasmgrid.cli.patience import AWAY, PAUSE_S, Patience
from wasmgrid.cli.terminal import GuestOutput, Progress, say
from wasmgrid.core.lifecycle import FINISHED
from wasmgrid.sdk import calls
from wasmgrid.sdk.client import Client
from wasmgrid.sdk.views import Job


class Follower:
    """Follows one job; what it writes is that of the task `index`. `connect` is as for `Patience`."""

    def __init__(self, client: Client, connect: Callable[[], Client], job_id: int, *, index: int | None = None) -> None:
        self.patience = Patience(client, connect, job_id)
        self._job_id = job_id
        self._index = index
        self._outputs = {"stdout": GuestOutput(sys.stdout), "stderr": GuestOutput(sys.stderr)}
        self._seen = ""  # the id of the last chunk that was printed

    def until_started(self) -> None:
        """Say on stderr what the job waits for, until it runs or will not."""
        progress = Progress()
        try:
            while not self._patiently(lambda: self._started(progress)):
                pass
        finally:
            progress.clear()

    def output(self, *, follow: bool = True) -> None:
        """Pass stdout and stderr on, until the job's end where `follow`; nothing is printed twice."""
        try:
            while not self._patiently(lambda: self._some_output(follow=follow)) and follow:
                pass
        finally:
            for output in self._outputs.values():
                output.finish()
            if any(output.mid_line for output in self._outputs.values()) and sys.stderr.isatty():
                sys.stderr.write("\n")  # our own line begins at a margin

    def finished(self) -> bytes:
        """The finished job, as the server's JSON."""
        while True:
            try:
                return self.patience.client.send(calls.raw(calls.job(self.patience.client.wait(self._job_id).id)))
            except AWAY as error:
                self.patience.try_again(error)

    def _started(self, progress: Progress) -> bool:
        for job in self.patience.client.stream(calls.events(self._job_id)):
            self.patience.heard()
            if job.done or job.state == "running":
                return True
            progress.say(waiting_for(job))
        return False

    def _some_output(self, *, follow: bool) -> bool:
        call = calls.logs(self._job_id, follow=follow, after=self._seen, index=self._index)
        for chunk in self.patience.client.stream(call):
            self.patience.heard()
            self._seen = chunk.id or self._seen
            if chunk.stream == "end":
                return not follow or chunk.state in FINISHED
            if chunk.stream == "restart":
                say("the attempt was lost with its worker; another begins from the start")
            else:
                self._outputs[chunk.stream].write(chunk.data)
        return not follow

    def _patiently(self, attempt: Callable[[], bool]) -> bool:
        """`attempt`, again where the connection is lost in it."""
        try:
            done = attempt()
        except AWAY as error:
            self.patience.try_again(error)
            return False
        if not done:
            time.sleep(PAUSE_S)  # the server ended the stream early: it is stopping, or the client was slow
        return done


def waiting_for(job: Job) -> str:
    """Why a job is not running yet: `building: installing rust (about 300 MB, 2 min)`."""
    return job.state + (f": {job.state_reason}" if job.state_reason else "")
