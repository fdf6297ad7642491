"""A connection that outlives its server: who is followed through it may be gone for a while."""

from __future__ import annotations

import time
from collections.abc import Callable

from wasmgrid.cli.terminal import say
from wasmgrid.core.errors import Unavailable, Unreachable, WasmgridError
from wasmgrid.sdk.client import Client

RECONNECT_S = 30.0  # how long a server may be gone before a follower gives up on it
PAUSE_S = 0.25
AWAY = (Unreachable, Unavailable)  # gone, or on its way out


class Patience:
    """The client of whoever follows a job.

    `connect` makes another one where the server went away: its address may be a new one when it is back.
    """

    def __init__(self, client: Client, connect: Callable[[], Client], job_id: int) -> None:
        self.client = client
        self._connect = connect
        self._job_id = job_id
        self._lost_at: float | None = None

    def heard(self) -> None:
        """The server said something: it is there."""
        self._lost_at = None

    def try_again(self, error: WasmgridError) -> None:
        """Another client, in a moment; gives up with `error` where the server stays away."""
        if self._lost_at is None:
            self._lost_at = time.monotonic()
            say(f"{error.message}; trying again")
        while True:
            if time.monotonic() - self._lost_at > RECONNECT_S:
                hint = f"the job goes on where its grid does · come back: wasmgrid logs -f {self._job_id}"
                raise Unreachable(error.message, hint=hint) from error
            time.sleep(PAUSE_S)
            if len(self.client.servers) > 1:
                return  # it asks another one by itself
            try:
                self.client = self._connect()
            except AWAY:
                continue
            return
