"""How a task ended, as a value; and what that means for a job's state and a command's exit code."""

from __future__ import annotations

from enum import StrEnum
from typing import assert_never

import msgspec


class OutcomeKind(StrEnum):
    """Every way in which a task can end. Stable names: they are in the API, the CLI and the docs."""

    EXITED = "exited"
    """The program ended by itself; 0 is a success."""
    TRAPPED = "trapped"
    """WebAssembly stopped it: `trap_kind` says why, with a backtrace."""
    OUT_OF_MEMORY = "out_of_memory"
    """It died at its memory cap."""
    TIMED_OUT = "timed_out"
    """One of its three times was over: the message says which."""
    OUT_OF_FUEL = "out_of_fuel"
    """Its `fuel` was used up."""
    OUTPUT_LIMIT = "output_limit"
    """It wrote more than its output limit; the head and the last 4 KiB are kept."""
    CANCELLED = "cancelled"
    """Someone cancelled it."""
    BUILD_FAILED = "build_failed"
    """The toolchain refused its source; the diagnostics say why."""
    REJECTED = "rejected"
    """wasmgrid could not run it: no sandbox, no toolchain, a module that does not compile within its limits."""
    LOST = "lost"
    """Three attempts ended with their runner or their agent."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How one attempt ended.

    `exit_code` is set for exited (0-255); `trap_kind` for trapped (`unreachable`, `integer_division_by_zero`, ...);
    `message` is one sentence for a person; `backtrace` the guest's frames, innermost first, or None.
    """

    kind: OutcomeKind
    exit_code: int | None = None
    trap_kind: str | None = None
    message: str | None = None
    backtrace: str | None = None

    @property
    def succeeded(self) -> bool:
        """Whether the program ended by itself with exit code 0."""
        return self.kind is OutcomeKind.EXITED and self.exit_code == 0

    @property
    def failed(self) -> bool:
        """Whether it ended neither well nor by being cancelled."""
        return self.kind is not OutcomeKind.CANCELLED and not self.succeeded


def exited(code: int) -> Outcome:
    """The program ended by itself with `code` (0-255)."""
    return Outcome(kind=OutcomeKind.EXITED, exit_code=code)


def process_exit_code(outcome: Outcome) -> int:
    """The exit code of a `wasmgrid run` whose task ended so: the program's own, or one that shells know."""
    match outcome.kind:
        case OutcomeKind.EXITED:
            return outcome.exit_code or 0
        case OutcomeKind.TIMED_OUT:
            return 124
        case OutcomeKind.LOST | OutcomeKind.REJECTED:
            return 125
        case OutcomeKind.BUILD_FAILED:
            return 126
        case OutcomeKind.CANCELLED:
            return 130
        case OutcomeKind.TRAPPED:
            return 134
        case OutcomeKind.OUT_OF_MEMORY:
            return 137
        case OutcomeKind.OUT_OF_FUEL:
            return 152
        case OutcomeKind.OUTPUT_LIMIT:
            return 153
        case _:
            assert_never(outcome.kind)
