"""What each task of a `map` is given, and what is made of what it gave. Pure, but for the lines' temporary file."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any, Self

import msgspec

from wasmgrid.core.errors import InvalidField
from wasmgrid.core.ranges import parse_runs
from wasmgrid.sdk import arrays, jsontexts, lines, views
from wasmgrid.sdk.calls import Stream
from wasmgrid.sdk.inorder import InOrder
from wasmgrid.sdk.lines import GivenLines
from wasmgrid.sdk.taskviews import Ended, Line, Value
from wasmgrid.sdk.views import Job

_NONE = object()


def given(inputs: Iterable[Any], *, function: str | None, as_args: bool, args: Iterable[Any]) -> GivenLines | None:
    """A line for each input; None where there is none."""
    iterator = iter(inputs)
    first = next(iterator, _NONE)
    if first is _NONE:
        return None
    every = chain([first], iterator)
    if function is not None:
        return lines.of_values(every, "call")
    if as_args:
        return lines.of_values(map(_words, every), "json_args")
    named = any("{line}" in str(each).replace("{{line}}", "") for each in args)
    return lines.of_texts(map(_text, every), "line" if named else "stdin")


def _words(given_words: Any) -> list[Any]:
    words = list(given_words) if isinstance(given_words, list | tuple) else [given_words]
    return [
        each if isinstance(each, str | int | float) and not isinstance(each, bool) else _text(each) for each in words
    ]


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        raise InvalidField("an input of a map is text or JSON, not bytes", hint="decode it", field="lines")
    return value if isinstance(value, str) else jsontexts.of_value(value).decode()


def results(job_id: int, *, values: bool) -> Callable[[int | None], Stream[Line]]:
    """The stream of a job's results behind a `seq`, each as the JSON that the server sent."""
    kind: type[Any] = Value if values else views.Result
    return lambda after: arrays.verbatim(arrays.results(job_id, kind, follow=True, after=after))


class Sorted:
    """Results as they come in, given on in the order of their indexes (or as they came, where not `ordered`).

    What waits for its turn is in a temporary file where it is much. Use it in a `with`.
    """

    def __init__(self, job: Job, *, ordered: bool) -> None:
        self._ready: list[bytes] = []
        runs = parse_runs(job.spec.array or "0", field="array")
        self._order = InOrder(runs, self._ready.append, lambda _: None) if ordered else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._order is not None:
            self._order.__exit__()

    def take(self, burst: Iterable[Line]) -> list[bytes]:
        """What is to be given on after this."""
        if self._order is None:
            return [line.text for line in burst]
        for line in burst:
            self._order.put(line.index, line.text)
        return self._taken()

    def rest(self) -> list[bytes]:
        """What waited behind results that never came."""
        if self._order is not None:
            self._order.finish()
        return self._taken()

    def _taken(self) -> list[bytes]:
        ready = self._ready.copy()
        self._ready.clear()
        return ready


_value = msgspec.json.Decoder(Value)
_any = msgspec.json.Decoder()
_whole = msgspec.json.Decoder(views.Result)


def value_of(text: bytes) -> tuple[int, Any, Ended | None]:
    """(index, value, how it ended where the call failed) of one line of a function's results."""
    ended = _value.decode(text)
    if ended.succeeded:
        return ended.index, _any.decode(ended.return_value), None
    return ended.index, None, ended


def task_of(text: bytes) -> views.Result:
    """One line of a program's results."""
    return _whole.decode(text)


def as_result(job_id: int, ended: Ended) -> views.Result:
    """How a call failed, as a result: nothing of its output is known without asking."""
    return views.Result(
        job_id=job_id,
        index=ended.index,
        outcome=ended.outcome,
        exit_code=ended.exit_code,
        trap_kind=ended.trap_kind,
        message=ended.message,
    )
