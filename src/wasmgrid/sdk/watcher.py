"""One thread and one connection that wait for every job of a client: `Job`s are done because it says so."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from wasmgrid.core.errors import WasmgridError
from wasmgrid.sdk.awaited import EARLY_S, GATHER_S, Awaited
from wasmgrid.sdk.calls import Call
from wasmgrid.sdk.failures import ClientClosed
from wasmgrid.sdk.problems import error_of
from wasmgrid.sdk.sender import Sender
from wasmgrid.sdk.servers import AWAY, unreachable
from wasmgrid.sdk.steps import PAUSE_S, Patience
from wasmgrid.sdk.taskviews import EndedJobs

if TYPE_CHECKING:
    from wasmgrid.sdk.jobs import Job

LINGER_S = 5.0  # how long the thread stays without work
ANSWER_S = 10.0  # beyond what the question lets the server wait


class Watcher:
    """Tells each `Job` of its end. It asks for all at once; who joins cuts the question short, and it is asked anew.

    The thread is there while something is waited for, and does not keep the interpreter from ending.
    """

    def __init__(self, sender: Sender) -> None:
        self._servers = sender.servers
        self._transport = sender.transport
        self._lock = threading.Condition()
        self._awaited: Awaited[Job[Any]] = Awaited()
        self._thread: threading.Thread | None = None
        self._asking: http.client.HTTPConnection | None = None
        self._closed = False

    def add(self, job: Job[Any]) -> None:
        """Wait for this one, too."""
        with self._lock:
            if self._closed:
                raise ClientClosed("the client is closed", hint="make another one")
            self._awaited.add(job.id, job)
            if self._asking is not None:
                _cut(self._asking)
                self._asking = None
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="wasmgrid: waiting for jobs", daemon=True)
                self._thread.start()
            self._lock.notify_all()

    def close(self) -> None:
        """Wait for nothing any more: whoever still waits is told that the client was closed."""
        with self._lock:
            self._closed = True
            thread, jobs = self._thread, self._awaited.give_up()
            if self._asking is not None:
                _cut(self._asking)
                self._asking = None
            self._lock.notify_all()
        for job in jobs:
            job.ended(ClientClosed(f"the client was closed before job {job.id} ended", hint="the job goes on"))
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self) -> None:
        patience = Patience()
        connection: http.client.HTTPConnection | None = None
        try:
            while self._wanted():
                began = time.monotonic()
                try:
                    connection = connection or self._transport.connect()
                    answer = self._ask(connection)
                except _Interrupted:
                    _closed(connection)
                    connection = None
                    time.sleep(max(0.0, began + GATHER_S - time.monotonic()))
                except AWAY as error:
                    _closed(connection)
                    connection = None
                    self._servers.go_on(than=self._servers.url)
                    self._patiently(patience, error)
                except WasmgridError as error:
                    _closed(connection)
                    connection = None
                    self._fail(error)
                else:
                    patience.heard()
                    if not self._tell(answer) and time.monotonic() - began < EARLY_S:
                        time.sleep(PAUSE_S)  # the server is about to stop
        except BaseException as error:
            with self._lock:
                self._thread = None
            self._fail(error)  # nobody would tell them any more
            raise
        finally:
            _closed(connection)

    def _wanted(self) -> bool:
        """Whether there is something to wait for, now or soon; if not, the thread ends."""
        with self._lock:
            if not self._awaited and not self._closed:
                self._lock.wait(LINGER_S)
            if not self._awaited or self._closed:
                self._thread = None
                return False
            return True

    def _ask(self, connection: http.client.HTTPConnection) -> EndedJobs:
        with self._lock:  # whoever is added from here on finds `_asking`, and cuts this question short
            call: Call[EndedJobs] = self._awaited.question()
            self._asking = connection
        try:
            response = self._transport.ask(connection, call, ANSWER_S)
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            if self._was_cut(connection):
                raise _Interrupted from None
            raise unreachable(self._servers.url, error) from error
        if self._was_cut(connection):  # the answer was faster; the connection is of no more use
            connection.close()
        if response.status >= 300:
            raise error_of(response.status, body)
        return call.decode(body)

    def _was_cut(self, connection: http.client.HTTPConnection) -> bool:
        with self._lock:
            cut = self._asking is not connection
            self._asking = None
            return cut

    def _tell(self, answer: EndedJobs) -> bool:
        """Whether there was something to tell."""
        with self._lock:
            ended = list(self._awaited.heard(answer))
        for job, end in ended:
            job.ended(end)
        return bool(ended)

    def _patiently(self, patience: Patience, error: WasmgridError) -> None:
        try:
            time.sleep(patience.after(error).seconds)
        except WasmgridError as given_up:
            self._fail(given_up)
            patience.heard()

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            jobs = self._awaited.give_up()
        for job in jobs:
            job.ended(error)


class _Interrupted(Exception):
    """Somebody joined: the question is asked anew."""


def _cut(connection: http.client.HTTPConnection) -> None:
    """End whatever another thread reads of this connection."""
    if connection.sock is not None:
        with suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)


def _closed(connection: http.client.HTTPConnection | None) -> None:
    if connection is not None:
        connection.close()
