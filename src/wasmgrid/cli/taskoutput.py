"""What the tasks of an array print, or what the calls of a function give, on stdout in the order of their indexes."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator

from wasmgrid.cli.bar import Bar, Printer
from wasmgrid.cli.patience import AWAY, Patience
from wasmgrid.core.outcome import OutcomeKind
from wasmgrid.core.ranges import parse_runs
from wasmgrid.sdk import arrays, calls
from wasmgrid.sdk.blobs import CHUNK_BYTES
from wasmgrid.sdk.counts import Counts
from wasmgrid.sdk.feed import Feed
from wasmgrid.sdk.inorder import InOrder
from wasmgrid.sdk.taskviews import Ended, Printed, Value
from wasmgrid.sdk.views import Job


def pass_on(patience: Patience, job: Job, bar: Bar, *, follow: bool = True) -> None:
    """Print what is there, as soon as everything before it is; until the job's end, where `follow`."""
    printer = Printer(bar)
    runs = parse_runs(job.spec.array or "0", field="array")
    counting = _Counting(job.task_count)
    bursts = _values(patience, job, follow) if job.spec.function else _printed(patience, job, follow)
    try:
        with InOrder(runs, printer.write, lambda index: _whole(patience, job.id, index, printer)) as ordered:
            for burst in bursts:
                for task, piece in burst:
                    ordered.put(task.index, piece)
                    counting.add(task)
                printer.flush()
                bar.see(counting.counts)
            ordered.finish()
    finally:
        bar.close()
        printer.finish()


def _values(patience: Patience, job: Job, follow: bool) -> Iterator[list[tuple[Ended, bytes | None]]]:
    """One line of JSON for each call; `null` for one that failed, so that the lines are those of the inputs."""
    feed = Feed(
        patience, job.id, lambda after: arrays.results(job.id, Value, follow=follow, after=after), follow=follow
    )
    for burst in feed.bursts():
        yield [(each, bytes(each.return_value) + b"\n") for each in burst]


def _printed(patience: Patience, job: Job, follow: bool) -> Iterator[list[tuple[Ended, bytes | None]]]:
    """The bytes of each task; None where the result does not hold all of them."""
    feed = Feed(
        patience, job.id, lambda after: arrays.results(job.id, Printed, follow=follow, after=after), follow=follow
    )
    for burst in feed.bursts():
        yield [(each, None if each.stdout_sha256 else each.head) for each in burst]


def _whole(patience: Patience, job_id: int, index: int, printer: Printer) -> None:
    """A large output, once all of it is here."""
    while True:
        with tempfile.TemporaryFile() as file:
            try:
                patience.client.download(calls.output(job_id, "stdout", index=index), file)
            except AWAY as error:
                patience.try_again(error)
                continue
            file.seek(0)
            printer.flush()
            shutil.copyfileobj(file, printer, CHUNK_BYTES)
            return


class _Counting:
    """How many tasks ended how, by their results."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._succeeded = self._failed = self._cancelled = 0

    def add(self, task: Ended) -> None:
        """One more."""
        if task.succeeded:
            self._succeeded += 1
        elif task.outcome == OutcomeKind.CANCELLED:
            self._cancelled += 1
        else:
            self._failed += 1

    @property
    def counts(self) -> Counts:
        """So far."""
        return Counts(total=self._total, succeeded=self._succeeded, failed=self._failed, cancelled=self._cancelled)
