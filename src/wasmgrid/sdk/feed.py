"""The results of a job's tasks, each once, as they come; over lost connections too."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from wasmgrid.core.errors import WasmgridError
from wasmgrid.sdk.calls import Stream
from wasmgrid.sdk.servers import AWAY
from wasmgrid.sdk.steps import PAUSE_S, Patience
from wasmgrid.sdk.views import Job

if TYPE_CHECKING:
    from wasmgrid.sdk.client import Client


class OfTask(Protocol):
    """Whatever says which task it is about."""

    @property
    def index(self) -> int:
        """The task's."""

    @property
    def seq(self) -> int | None:
        """Where to go on behind it."""


class Line(Protocol):
    """How a server is asked that may be gone for a while."""

    @property
    def client(self) -> Client:
        """Who asks it now."""

    def heard(self) -> None:
        """The server said something."""

    def try_again(self, error: WasmgridError) -> None:
        """Wait a moment; raises where the server stays away."""


T = TypeVar("T", bound=OfTask)


class Quietly:
    """The line of a program: nobody is told that a server is gone, until it is given up."""

    def __init__(self, client: Client, job_id: int) -> None:
        self.client = client
        self._patience = Patience(job_id)

    def heard(self) -> None:
        """The server said something."""
        self._patience.heard()

    def try_again(self, error: WasmgridError) -> None:
        """Wait a moment; raises `Unreachable` where the server was away for too long."""
        time.sleep(self._patience.after(error).seconds)


class Position:
    """How far a reader of results is: what was seen, where to go on, whether more is to come. Pure."""

    def __init__(self, *, failed: bool = False) -> None:
        self._failed = failed
        self._seen = _Seen()
        self._ended = False  # before the stream was opened: then it has everything
        self.after: int | None = None

    def new(self, some: list[T]) -> list[T]:
        """Those of a burst that were not seen before."""
        if some:
            self.after = some[-1].seq
        return [each for each in some if self._seen.add(each.index)]

    def over(self, job: Job) -> bool:
        """Whether a stream that ended, after which the job is so, was the last."""
        expected = job.counts.failed + job.counts.cancelled if self._failed else job.task_count
        if job.done and (self._ended or len(self._seen) >= expected):
            return True
        self._ended = job.done
        return False


class Feed(Generic[T]):
    """Follows `call`, a stream of a job's results behind a `seq`; what was seen is not given again.

    `failed`: the stream has those only that did not succeed. Without `follow` it ends with what is there.
    """

    def __init__(
        self,
        line: Line,
        job_id: int,
        call: Callable[[int | None], Stream[T]],
        *,
        failed: bool = False,
        follow: bool = True,
    ) -> None:
        self._line = line
        self._job_id = job_id
        self._call = call
        self._follow = follow
        self._position = Position(failed=failed)

    def bursts(self) -> Iterator[list[T]]:
        """What came at once, at once; until every task's result was seen, or the job has no more."""
        position = self._position
        while True:
            try:
                for some in self._line.client.bursts(self._call(position.after)):
                    self._line.heard()
                    yield position.new(some)
                if not self._follow or position.over(self._line.client.status(self._job_id)):
                    return
            except AWAY as error:
                self._line.try_again(error)
                continue
            time.sleep(PAUSE_S)  # the server ended the stream early: it is stopping, or the client was slow


class _Seen:
    """Which indexes were seen: a byte each, in pages, because it is asked for every one of a million."""

    def __init__(self) -> None:
        self._pages: dict[int, bytearray] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, index: int) -> bool:
        """Whether it is new."""
        page = self._pages.get(index >> 12)
        if page is None:
            page = self._pages[index >> 12] = bytearray(4096)
        if page[index & 4095]:
            return False
        page[index & 4095] = 1
        self._count += 1
        return True
