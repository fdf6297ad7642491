"""Clients that never give up: each submits, cancels and waits through any server that answers, noting what it saw."""

from __future__ import annotations

import json
import math
import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import msgspec
from tests.chaos import programs
from tests.chaos.grid import ChaosGrid
from tests.chaos.records import Json, Submission, end_of
from tests.chaos.user import ANSWER_S, TRY_ELSEWHERE

from wasmgrid.core.errors import WasmgridError
from wasmgrid.core.job import JobSpec
from wasmgrid.sdk import calls
from wasmgrid.sdk.calls import Call

T = TypeVar("T")

LONG_POLL_S = 2.0
_PAUSE_S = 0.05


class Stopped(Exception):
    """The load was told to give up."""


class Load:
    """`clients` threads. `stop_submitting`, then `finished`; `abandon` where something went wrong."""

    def __init__(self, grid: ChaosGrid, *, clients: int, seed: int) -> None:
        self.submissions: list[Submission] = []
        self.failures: list[Exception] = []
        self._grid = grid
        self._enough = threading.Event()
        self._abandoned = threading.Event()
        dice = random.Random(seed)
        self._threads = [
            threading.Thread(target=self._client, args=(number, random.Random(dice.random())), daemon=True)
            for number in range(clients)
        ]

    def start(self) -> None:
        """Let them flow."""
        for thread in self._threads:
            thread.start()

    def stop_submitting(self) -> None:
        """No new jobs; clients go on until each of theirs has ended."""
        self._enough.set()

    def finished(self, within_s: float) -> float:
        """Seconds until every client has seen the end of each of its jobs, or has given up; fails after `within_s`."""
        began = time.monotonic()
        for thread in self._threads:
            thread.join(max(began + within_s - time.monotonic(), 0.0))
        left = [one.key for one in self.submissions if one.first_end is None]
        assert not any(thread.is_alive() for thread in self._threads), f"not ended within {within_s:g} s: {left}"
        return time.monotonic() - began

    def abandon(self) -> None:
        """End the clients, wherever they are."""
        self._enough.set()
        self._abandoned.set()
        for thread in self._threads:
            thread.join(ANSWER_S + LONG_POLL_S + 10.0)

    @property
    def ended(self) -> int:
        """How many jobs were seen to end so far."""
        return sum(one.first_end is not None for one in list(self.submissions))

    def _client(self, number: int, dice: random.Random) -> None:
        try:
            client = _Client(self._grid, dice, self._abandoned)
            while not self._enough.is_set():
                batch = [self._submit(client, number, dice) for _ in range(dice.randint(1, 4))]
                for one in sorted(batch, key=_cancelled_first):
                    client.see_through(one)
        except Stopped:
            pass
        except Exception as error:  # noqa: BLE001 -- raised again by whoever runs the load
            self.failures.append(error)

    def _submit(self, client: _Client, number: int, dice: random.Random) -> Submission:
        key = f"client {number}, {dice.getrandbits(64):x}"
        one = Submission(key, programs.some(dice))
        self.submissions.append(one)
        client.submit(one)
        return one


def _cancelled_first(one: Submission) -> float:
    after_s = one.program.cancel_after_s
    return math.inf if after_s is None else one.acknowledged_at + after_s


class _Client:
    """One user, with the patience of many: a call goes from server to server until one answers."""

    def __init__(self, grid: ChaosGrid, dice: random.Random, abandoned: threading.Event) -> None:
        self._grid = grid
        self._dice = dice
        self._abandoned = abandoned

    def submit(self, one: Submission) -> None:
        spec = msgspec.convert({**one.program.spec, "idempotency_key": one.key}, JobSpec)
        one.ids.add(self._ask(lambda: calls.submit(spec)).id)
        one.acknowledged_at = time.time()
        if self._dice.random() < 0.1:  # as a client does whose answer was lost
            one.ids.add(self._ask(lambda: calls.submit(spec)).id)

    def see_through(self, one: Submission) -> None:
        """Cancel it where it is to be, wait for its end, and look at that again elsewhere."""
        job_id = min(one.ids)
        if one.program.cancel_after_s is not None:
            time.sleep(max(one.acknowledged_at + one.program.cancel_after_s - time.time(), 0.0))
            self._ask(lambda: calls.cancel(job_id))
            one.cancel_acknowledged_at = time.time()
        while one.first_end is None:
            job = self._look(job_id, LONG_POLL_S)
            if job["finished"]:
                one.first_end, one.first_end_at = end_of(job), time.time()
        again = end_of(self._look(job_id, 0.0))
        if again != one.first_end:
            one.other_ends.append(again)

    def _look(self, job_id: int, wait_s: float) -> Json:
        job: Json = json.loads(self._ask(lambda: calls.raw(calls.job(job_id, wait_s=wait_s))))
        return job

    def _ask(self, call: Callable[[], Call[T]]) -> T:
        while not self._abandoned.is_set():
            server = self._dice.choice(self._grid.servers)
            try:
                with self._grid.client(server, timeout_s=ANSWER_S) as client:
                    return client.send(call())
            except WasmgridError as error:
                if error.code not in TRY_ELSEWHERE:
                    raise
            time.sleep(_PAUSE_S)
        raise Stopped
