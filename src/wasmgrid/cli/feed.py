"""The results of a job's tasks, each once, as they come; over lost connections too."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

from wasmgrid.cli.patience import AWAY, PAUSE_S, Patience
from wasmgrid.sdk.calls import Stream
from wasmgrid.sdk.views import Job


class OfTask(Protocol):
    """Whatever says which task it is about."""

    @property
    def index(self) -> int:
        """The task's."""

    @property
    def seq(self) -> int | None:
        """Where to go on behind it."""


T = TypeVar("T", bound=OfTask)


class Feed(Generic[T]):
    """Follows `call`, a stream of a job's results behind a `seq`; what was seen is not given again.

    `failed`: the stream has those only that did not succeed. Without `follow` it ends with what is there.
    """

    def __init__(
        self,
        patience: Patience,
        job_id: int,
        call: Callable[[int | None], Stream[T]],
        *,
        failed: bool = False,
        follow: bool = True,
    ) -> None:
        self._patience = patience
        self._job_id = job_id
        self._call = call
        self._failed = failed
        self._follow = follow
        self._seen = _Seen()
        self._after: int | None = None

    def bursts(self) -> Iterator[list[T]]:
        """What came at once, at once; until every task's result was seen, or the job has no more."""
        ended = False  # before the stream was opened: then it has everything
        while True:
            try:
                for some in self._patience.client.bursts(self._call(self._after)):
                    self._patience.heard()
                    yield [each for each in some if self._seen.add(each.index)]
                    self._after = some[-1].seq if some else self._after
                if not self._follow:
                    return
                job = self._patience.client.status(self._job_id)
            except AWAY as error:
                self._patience.try_again(error)
                continue
            if job.done and (ended or self._complete(job)):
                return
            ended = job.done
            time.sleep(PAUSE_S)  # the server ended the stream early: it is stopping, or the client was slow

    def _complete(self, job: Job) -> bool:
        expected = job.counts.failed + job.counts.cancelled if self._failed else job.task_count
        return len(self._seen) >= expected


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
