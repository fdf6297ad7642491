"""What a guest's end means: errors of the runtime read as outcomes, with a backtrace that a person can use."""

from __future__ import annotations

import re

import wasmtime
from msgspec.structs import replace

from wasmgrid.core.limits import MB, Limits
from wasmgrid.core.outcome import Outcome, OutcomeKind, exited
from wasmgrid.core.units import format_bytes
from wasmgrid.runner.runtime import printable
from wasmgrid.runner.watch import Reason

WASM_PAGE_BYTES = 65536
_MAX_FRAMES = 40
_MAX_NAME = 300
_HOST_ERROR, _UNCAUGHT, _GC_HEAP = "host_error", "uncaught_exception", "gc_heap_out_of_memory"

# What well-known runtimes write before they die of a refused allocation.
_OUT_OF_MEMORY_WORDS = re.compile(
    rb"memory allocation of \d+ bytes failed|fatal error: (?:runtime: )?out of memory|cannot allocate memory"
    rb"|std::bad_alloc|^MemoryError|OutOfMemory|JavaScript heap out of memory|InternalError: out of memory",
    re.MULTILINE,
)
_FRAME = re.compile(r"^\s*\d+:\s+(?:0x[0-9a-f]+ - )?(.*)$", re.MULTILINE)
_CAUSE = re.compile(r"^\s+(?:\d+: )?(?:wasm trap: )?(.+)$", re.MULTILINE)
_FAULT = re.compile(r"memory fault at wasm address 0x([0-9a-f]{1,12}) in linear memory of size 0x([0-9a-f]{1,12})")
_LAST_ADDRESSES = 0xFF00_0000  # addresses are of 32 bits: below 0 comes the end
_STACK_IS_FULL = "; most likely its stack was full: a recursion without end"
_MANGLED = ("_Z", "_R")
_RUST_HASH = re.compile(r"::h[0-9a-f]{16}$|\[[0-9a-f]{12,16}\]")


class GuestExit(Exception):
    """`proc_exit` was called: how most programs end."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code & 0xFF


class Unrunnable(Exception):
    """The module cannot be started at all; its message says why. Not the guest's failure: nothing of it ran."""


def outcome_of(error: Exception | None, reason: Reason | None, limits: Limits) -> Outcome:
    """How the guest ended: `error` is what came out of its call (None: it returned), `reason` why it was stopped."""
    if error is None:
        return exited(0)
    if isinstance(error, GuestExit):
        return exited(error.code)
    if isinstance(error, Unrunnable):
        return Outcome(kind=OutcomeKind.REJECTED, message=printable(str(error)))
    code = error.trap_code if isinstance(error, wasmtime.Trap) else None
    if code is wasmtime.TrapCode.INTERRUPT and reason is not None:
        return _stopped(reason, limits)
    text = str(error)
    if text.startswith("too few parameters"):
        message = "its _start takes parameters; a program's takes none and returns nothing"
        return Outcome(kind=OutcomeKind.REJECTED, message=message)
    backtrace = _backtrace(error, text)
    if code is wasmtime.TrapCode.OUT_OF_FUEL:
        return Outcome(kind=OutcomeKind.OUT_OF_FUEL, message=f"used all of its {limits.fuel} fuel", backtrace=backtrace)
    kind = code.name.lower() if code is not None else _kind_of(text)
    return Outcome(kind=OutcomeKind.TRAPPED, trap_kind=kind, message=_cause(text) + _below(text), backtrace=backtrace)


def _below(text: str) -> str:
    """What an access just below the memory's beginning most likely means: that is where a guest's own stack ends."""
    found = _FAULT.search(text)
    return (
        _STACK_IS_FULL if found and int(found[1], 16) >= _LAST_ADDRESSES and int(found[2], 16) < _LAST_ADDRESSES else ""
    )


def _stopped(reason: Reason, limits: Limits) -> Outcome:
    match reason:
        case Reason.WALL:
            return Outcome(kind=OutcomeKind.TIMED_OUT, message=f"ran longer than its limit of {limits.wall_s:g} s")
        case Reason.CPU:
            message = f"used more cpu time than its limit of {limits.cpu_s:g} s"
            return Outcome(kind=OutcomeKind.TIMED_OUT, message=message)
        case Reason.OUTPUT:
            return output_limit(f"wrote more than {format_bytes(limits.output_bytes)} to stdout or stderr")
        case Reason.DISK:
            return output_limit(f"wrote more than {limits.disk_mb} MB to its scratch disk")
        case Reason.ASKED:
            return Outcome(kind=OutcomeKind.CANCELLED, message="stopped on request")


def output_limit(message: str) -> Outcome:
    """More was written than may be kept."""
    return Outcome(kind=OutcomeKind.OUTPUT_LIMIT, message=message)


def blame_memory(outcome: Outcome, *, peak_bytes: int, grown_out: bool, stderr: bytes, limits: Limits) -> Outcome:
    """`outcome`, or out_of_memory where the guest most likely died of a refused allocation.

    A refused growth is invisible to a host. `grown_out`: the guest's memory cannot grow by another page. A trap with
    much of the memory taken stays one, and its message gets a hint.
    """
    failed = outcome.kind is OutcomeKind.TRAPPED or (outcome.kind is OutcomeKind.EXITED and outcome.exit_code != 0)
    if not failed:
        return outcome
    if grown_out or _OUT_OF_MEMORY_WORDS.search(stderr):
        message = f"its memory ended at {format_bytes(peak_bytes)}; memory_mb is {limits.memory_mb}"
        return Outcome(kind=OutcomeKind.OUT_OF_MEMORY, message=message, backtrace=outcome.backtrace)
    if outcome.kind is OutcomeKind.TRAPPED and peak_bytes * 2 > limits.memory_mb * MB:
        hint = (
            f"its memory was at {format_bytes(peak_bytes)} of {limits.memory_mb} MB: perhaps an allocation was refused"
        )
        return replace(outcome, message=f"{outcome.message}; {hint}")
    return outcome


def grown_out(peak_bytes: int, declared_max_bytes: int | None, limits: Limits) -> bool:
    """Whether a memory of `peak_bytes` is within a page of its cap: the limit's, or what the module declares."""
    cap = limits.memory_mb * MB
    if declared_max_bytes is not None:
        cap = min(cap, declared_max_bytes)
    return peak_bytes > 0 and peak_bytes + WASM_PAGE_BYTES > cap


def _kind_of(text: str) -> str:
    if "GC heap out of memory" in text:
        return _GC_HEAP
    return _UNCAUGHT if "thrown Wasm exception" in text else _HOST_ERROR


def _cause(text: str) -> str:
    _, _, causes = text.partition("Caused by:")
    found = _CAUSE.findall(causes)
    return printable("; ".join(found) if found else text)


def _backtrace(error: Exception, text: str) -> str | None:
    """Frames, innermost first: `  0: core::panicking::panic_fmt`.

    The runtime demangles, but too eagerly (a C function `f` becomes the type `float`): its text is used for names that
    are mangled, and the raw name otherwise.
    """
    shown = [name.strip() for name in _FRAME.findall(text.partition("Caused by:")[0])]
    raw = [frame.func_name for frame in error.frames] if isinstance(error, wasmtime.Trap) else []
    lines = []
    for number, name in enumerate(shown[:_MAX_FRAMES]):
        pretty = _RUST_HASH.sub("", name.partition("!")[2] or name)
        plain = raw[number] if number < len(raw) else None
        chosen = plain if plain and not plain.startswith(_MANGLED) else pretty
        lines.append(f"{number:3}: {printable(chosen[:_MAX_NAME])}")
    if len(shown) > _MAX_FRAMES:
        lines.append(f"   … {len(shown) - _MAX_FRAMES} more")
    return "\n".join(lines) or None
