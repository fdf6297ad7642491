"""What a called function answers, read as an outcome, a value and words for stderr."""

from __future__ import annotations

import msgspec

from wasmgrid.core.limits import Limits
from wasmgrid.core.outcome import Outcome, OutcomeKind, exited
from wasmgrid.runner.frames import Stream
from wasmgrid.runner.runtime import printable
from wasmgrid.runner.traps import outcome_of, output_limit
from wasmgrid.runner.watch import Reason

RETURNED, UNFIT, FAILED = b"=", b"?", b"!"
_SENSELESS = "the function answered something that is no JSON value"
_decoder = msgspec.json.Decoder()


class TooLarge(Exception):
    """A function returned more than a result may hold; its message says how much."""


def is_value(answer: bytes) -> bool:
    """Whether the function returned, with JSON."""
    try:
        _decoder.decode(answer[1:])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return answer[:1] == RETURNED


def judge(answer: bytes, error: Exception | None, reason: Reason | None, limits: Limits) -> Outcome:
    """How a call ended that answered so, or did not for `error`; `reason` is why it was stopped."""
    if isinstance(error, TooLarge):
        return output_limit(str(error))
    if error is not None:
        return outcome_of(error, reason, limits)
    if is_value(answer):
        return exited(0)
    words = printable(answer[1:].decode(errors="replace"))
    if answer[:1] == UNFIT:
        return Outcome(kind=OutcomeKind.REJECTED, message=words)
    return Outcome(kind=OutcomeKind.EXITED, exit_code=1, message=words if answer[:1] == FAILED else _SENSELESS)


def value_of(answer: bytes) -> str:
    """The value, on one line."""
    text = answer[1:]
    return (msgspec.json.format(text, indent=-1) if b"\n" in text else text).decode()


def with_failure(stderr: Stream, answer: bytes, limits: Limits) -> Stream:
    """`stderr` with the words of a function that failed, where there is room for them."""
    words = answer[1:] + b"\n"
    if (
        answer[:1] != FAILED
        or words.rstrip() in stderr.data
        or stderr.file is not None
        or stderr.size + len(words) > limits.output_bytes
    ):
        return stderr
    return Stream(stderr.data + words, stderr.size + len(words), stderr.truncated, None, stderr.tail)
