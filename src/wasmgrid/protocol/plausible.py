"""Whether what a worker says can be. Numbers are bounded so that sums fit 64 bits, and what names things must be ids.

A worker that lies must not stop its leader: what cannot be goes no further than this.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from msgspec.structs import astuple

from wasmgrid.core.digest import is_sha256
from wasmgrid.core.errors import InvalidField
from wasmgrid.core.job import INLINE_BYTES, BuildResult, Output, Stats, TaskRange, TaskResult
from wasmgrid.core.ranges import LAST_INDEX, Run
from wasmgrid.core.resources import NAMES
from wasmgrid.core.wire import FRAME_BYTES, Heartbeat, Held, Inventory, Message, Progress, Refused, Results, Returned
from wasmgrid.core.worker import Cache, WorkerInfo, check_labels, check_worker_id

MOST = 1 << 40  # of any resource, and of bytes: 10,000 times that fits 64 bits
MOST_GPUS, MOST_LABELS, MOST_MODULES = 1024, 256, 2000
MOST_TASKS = 1 << 16  # of one chunk
_LAST_ID = (1 << 63) - 1
_MOST_ARTIFACTS = 1 << 20
_END_OF_TIME = 4_102_444_800.0  # the year 2100
_NAME, _TEXT = 255, 64 * 1024  # characters
_KINDS = frozenset({"run", "build"})


def refusal(message: Message) -> str:
    """Why it cannot be, in a few words; empty where it can."""
    try:
        _check(message)
    except InvalidField as error:
        return error.message[:_NAME]
    return ""


def _check(message: Message) -> None:
    match message:
        case Inventory():
            _number("term", message.term, _LAST_ID)
            _worker(message.worker)
            _helds(message.held)
            if message.remaining_s is not None:
                _number("remaining_s", message.remaining_s, MOST)
            _must(len(message.modules) <= MOST_MODULES and all(map(is_sha256, message.modules)), "modules")
            _cache(message.cache)
        case Heartbeat():
            _number("term", message.term, _LAST_ID)
            _helds(message.held)
            _cache(message.cache)
        case Progress():
            _helds(message.held)
        case Returned():
            _number("attempt", message.attempt, _LAST_ID)
            _runs(message.rest)
        case Refused():
            _text("reason", message.reason, _TEXT)
        case Results():
            for result in message.tasks:
                _must(result.worker_id == message.worker_id, "a result of another worker")
                _result(result)
            for each in message.ranges:
                _must(each.worker_id == message.worker_id, "a result of another worker")
                _range(each)
            for build in message.builds:
                _must(build.worker_id == message.worker_id, "a result of another worker")
                _build(build)


def _worker(info: WorkerInfo) -> None:
    check_worker_id(info.id, field="worker")
    for name in ("incarnation", "version", "hostname"):
        _text(name, getattr(info, name), _NAME)
    for name in NAMES:
        _number(name, getattr(info.capacity, name), MOST)
    indexes = {gpu.index for gpu in info.gpus}
    _must(info.capacity.gpus == len(info.gpus) == len(indexes) <= MOST_GPUS, "gpus")
    for gpu in info.gpus:
        _number("a GPU's index", gpu.index, MOST_GPUS * 1024)
        _number("a GPU's memory_mb", gpu.memory_mb, MOST)
        _text("a GPU's model", gpu.model, _NAME)
    _must(len(info.labels) <= MOST_LABELS, "labels")
    check_labels(info.labels, field="labels")
    for toolchain in info.toolchains:
        for text in (toolchain.language, toolchain.identity, toolchain.version):
            _text("toolchains", text, _NAME)


def _helds(helds: Iterable[Held]) -> None:
    for held in helds:
        _must(held.kind in _KINDS, "kind")
        _named(held.attempt, held.id, held.index)
        _text("phase", held.phase, _NAME)
        _text("detail", held.detail, _TEXT)
        if held.started_at is not None:
            _number("started_at", held.started_at, _END_OF_TIME)
        _must(len(set(held.gpus)) == len(held.gpus) <= MOST_GPUS, "gpus")
        _must(1 <= held.count <= MOST_TASKS, "count")
        _runs(held.rest)
        if held.running is not None:
            _number("running", held.running, LAST_INDEX)


def _runs(runs: list[Run]) -> None:
    """A chunk's tasks: bounded, so that nobody makes a leader count to the end of time."""
    _must(len(runs) <= MOST_TASKS, "rest")
    for first, count in runs:
        _number("rest", first, LAST_INDEX)
        _number("rest", count, MOST_TASKS)


def _range(each: TaskRange) -> None:
    _named(each.attempt, each.job_id, each.first)
    _must(1 <= each.count <= MOST_TASKS and each.first + each.count - 1 <= LAST_INDEX, "count")
    _must(each.outcome.succeeded and each.values.count(b"\n") == each.count - 1, "values")
    _must(len(each.values) <= FRAME_BYTES and _is_text(each.values), "values")
    _times(each.started_at, each.finished_at, each.stats)


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _times(started_at: float, finished_at: float, stats: Stats) -> None:
    if not (0.0 <= started_at <= _END_OF_TIME and 0.0 <= finished_at <= _END_OF_TIME):
        raise InvalidField("cannot be: a time", field="message")
    for value in astuple(stats):
        if value is not None and not 0 <= value <= _LAST_ID:
            raise InvalidField("cannot be: stats", field="message")


def _result(result: TaskResult) -> None:
    _named(result.attempt, result.job_id, result.index)
    code = result.outcome.exit_code
    _must(code is None or 0 <= code <= 255, "exit_code")
    for output in (result.stdout, result.stderr):
        _output(output)
    _must(len(result.artifacts) <= _MOST_ARTIFACTS, "artifacts")
    for artifact in result.artifacts:
        _number("an artifact's bytes", artifact.bytes, MOST)
        _must(is_sha256(artifact.sha256), "an artifact's sha256")
    _times(result.started_at, result.finished_at, result.stats)
    _must(result.return_value is None or len(result.return_value) <= INLINE_BYTES, "return_value")


def _output(output: Output) -> None:
    _must(len(output.data) <= INLINE_BYTES, "more output than may travel in a message")
    _number("an output's size", output.size, MOST)
    _must(output.sha256 is None or is_sha256(output.sha256), "an output's sha256")


def _build(result: BuildResult) -> None:
    _named(result.attempt, result.build_id, 0)
    _must(result.module_sha256 is None or is_sha256(result.module_sha256), "module_sha256")
    _number("module_bytes", result.module_bytes, MOST)
    _number("build_ms", result.build_ms, MOST)
    _text("module_kind", result.module_kind, _NAME)
    _text("toolchain", result.toolchain, _NAME)


def _cache(cache: Cache) -> None:
    _number("cache.modules", cache.modules, MOST)
    _number("cache.bytes", cache.bytes, MOST)


def _named(attempt: int, number: int, index: int) -> None:
    _number("attempt", attempt, _LAST_ID)
    _number("id", number, _LAST_ID)
    _number("index", index, _LAST_ID)


def _number(name: str, value: float, most: float) -> None:
    _must(math.isfinite(value) and 0 <= value <= most, name)


def _text(name: str, text: str, most: int) -> None:
    _must(len(text) <= most, name)


def _must(holds: bool, what: str) -> None:
    if not holds:
        raise InvalidField(f"cannot be: {what}", field="message")
