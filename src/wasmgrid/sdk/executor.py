"""A `concurrent.futures.Executor` whose tasks are calls of functions on the grid."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from concurrent.futures import Future
from typing import Any, TypeVar

from wasmgrid.core.errors import WasmgridError
from wasmgrid.sdk.client import Client
from wasmgrid.sdk.functions import Function, word
from wasmgrid.sdk.mapping import Mapped
from wasmgrid.sdk.program import Program

T = TypeVar("T")
Call = tuple[tuple[Any, ...], Future[Any]]

BATCH = 10_000  # calls that go together at most
ARRAY_FROM = 32  # so many are an array: its calls share warm instances. Fewer are jobs of their own, in one request
ARRAYS = 16  # that are out at once, with a thread and a connection each


class Executor(futures.Executor):
    """Runs functions of the grid where a program expects an executor.

        with wasmgrid.Executor() as pool:
            add = pool.function("add.rs", "add")
            print([future.result() for future in [pool.submit(add, n, 1) for n in range(100)]])

    `submit(fn, *args)` takes what `Client.function` gives; its future raises `TaskFailed` or `BuildFailed`. Calls that
    come faster than requests can be sent go together: what came while one request was under way is the next. The
    executor has one thread that sends, the client's one that waits, and one for each array that is out (at most 16). A
    future is running once it was sent; from then on it cannot be cancelled.

    `client` is used and left open; without one the executor makes its own (`Client(**where)`) and closes it.
    """

    def __init__(self, client: Client | None = None, **where: Any) -> None:
        self.client = client or Client(**where)
        self._own = client is None
        self._lock = threading.Condition()
        self._queues: dict[Function, list[Call]] = {}
        self._unfinished = 0
        self._arrays = 0
        self._thread: threading.Thread | None = None
        self._shut = False

    def function(self, source: Program, name: str, /, **asked: Any) -> Function:
        """A function that this executor takes; see `Client.function`."""
        return self.client.function(source, name, **asked)

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """A call of `fn`, a function of the grid, with positional arguments; a future of what it returns."""
        if not isinstance(fn, Function):
            raise TypeError(f"{fn!r} does not run on a grid; make one that does: client.function('add.rs', 'add')")
        if kwargs:
            raise TypeError(f"functions of the grid take positional arguments only, not {', '.join(kwargs)}")
        for each in args:
            word(each)  # what cannot be sent is told to whoever gives it, not to the calls that go with it
        future: Future[T] = Future()
        with self._lock:
            if self._shut:
                raise RuntimeError("cannot schedule new futures after shutdown")
            self._unfinished += 1
            self._queues.setdefault(fn, []).append((args, future))
            if self._thread is None:
                self._thread = threading.Thread(target=self._send, name="wasmgrid: executor")
                self._thread.start()
        future.add_done_callback(self._finished)
        return future

    def map(
        self, fn: Callable[..., T], *iterables: Iterable[Any], timeout: float | None = None, chunksize: int = 1
    ) -> Iterator[T]:
        """What `fn` returns for each of the arguments, in their order; one array, read as it is asked for."""
        if timeout is None and isinstance(fn, Function):
            return fn.map(*iterables, progress=False)
        return super().map(fn, *iterables, timeout=timeout, chunksize=chunksize)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls, and `wait` for those that were; `cancel_futures` drops what was not sent yet."""
        with self._lock:
            self._shut = True
            dropped = [call for queue in self._queues.values() for call in queue] if cancel_futures else []
            if cancel_futures:
                self._queues.clear()
        for _, future in dropped:
            future.cancel()
            future.set_running_or_notify_cancel()
        if wait:
            with self._lock:
                while self._unfinished:
                    self._lock.wait()
        if wait and self._own:
            self.client.close()

    def _finished(self, _: Future[Any]) -> None:
        with self._lock:
            self._unfinished -= 1
            self._lock.notify_all()

    def _send(self) -> None:
        """What has come, again and again, until nothing has: the next call starts another thread."""
        while True:
            with self._lock:
                taken = self._taken()
                if taken is None:
                    self._thread = None
                    return
            function, calls = taken[0], [call for call in taken[1] if call[1].set_running_or_notify_cancel()]
            try:
                self._sent(function, calls)
            except BaseException as error:  # noqa: BLE001 -- a future tells whatever happened
                _fail(calls, error)

    def _taken(self) -> tuple[Function, list[Call]] | None:
        for function in self._queues:
            queue = self._queues.pop(function)
            if len(queue) > BATCH:
                self._queues[function] = queue[BATCH:]
            return function, queue[:BATCH]
        return None

    def _sent(self, function: Function, calls: list[Call]) -> None:
        """An array; or jobs, where there are few calls and the module is known (else each would bring the source)."""
        known = function.is_built
        if len(calls) > 1 and self._arrays < ARRAYS and (len(calls) >= ARRAY_FROM or not known):
            mapped = function.starmap(
                (args for args, _ in calls), ordered=False, return_exceptions=True, progress=False
            )
            with self._lock:
                self._arrays += 1
            threading.Thread(
                target=self._read, args=(function, mapped, calls), name="wasmgrid: executor's array"
            ).start()
            return
        made = [function.request(args) for args, _ in calls]
        blobs = {sha256: blob for each in made for sha256, blob in each.blobs.items()}
        for view, (_, future) in zip(self.client.submit_many([each.spec for each in made], blobs), calls, strict=True):
            if isinstance(view, WasmgridError):
                future.set_exception(view)
            else:
                function.follow(view).add_done_callback(_onto(future))

    def _read(self, function: Function, mapped: Mapped[Any], calls: list[Call]) -> None:
        """The results of one array."""
        try:
            learned = function.is_built
            for index, value in mapped.numbered():
                if isinstance(value, WasmgridError):
                    calls[index][1].set_exception(value)
                else:
                    calls[index][1].set_result(value)
                if not learned and mapped.job_id is not None:
                    function.learn(self.client.status(mapped.job_id))
                    learned = True
            raise WasmgridError(f"job {mapped.job_id} ended without results for all its calls")
        except BaseException as error:  # noqa: BLE001 -- a future tells whatever happened
            _fail(calls, error)
        finally:
            with self._lock:
                self._arrays -= 1


def _fail(calls: list[Call], error: BaseException) -> None:
    for _, future in calls:
        if not future.done():
            future.set_exception(error)


def _onto(future: Future[Any]) -> Callable[[Future[Any]], None]:
    """What passes on how a job ended."""

    def pass_on(job: Future[Any]) -> None:
        if job.cancelled():
            future.set_exception(WasmgridError("the job of this call was cancelled"))
        elif (error := job.exception()) is not None:
            future.set_exception(error)
        else:
            future.set_result(job.result())

    return pass_on
