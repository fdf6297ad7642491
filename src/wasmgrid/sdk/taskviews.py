"""What a server answers about single tasks of a job, as clients read it; every key optional, as in `views`."""

from __future__ import annotations

import base64

import msgspec

from wasmgrid.core.errors import WasmgridError
from wasmgrid.core.outcome import OutcomeKind
from wasmgrid.sdk.problems import Problem
from wasmgrid.sdk.views import Job, Result

_NULL = msgspec.Raw(b"null")


class TaskPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some tasks that have ended, by index; `next_cursor` asks for the ones after them."""

    tasks: list[Result] = []
    next_cursor: str | int | None = None


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How one task ended: what every line of a stream of results has. `seq` is where a cut-off reader goes on."""

    index: int = 0
    seq: int | None = None
    outcome: str = OutcomeKind.EXITED
    exit_code: int | None = 0
    trap_kind: str | None = None
    message: str | None = None

    @property
    def succeeded(self) -> bool:
        """Whether the task ended by itself with exit code 0."""
        return self.outcome == OutcomeKind.EXITED and not self.exit_code


class Value(Ended, frozen=True, kw_only=True):
    """What a call of a function gave: `return_value` is its JSON text, `null` for nothing and for a failure."""

    return_value: msgspec.Raw = _NULL


class Printed(Ended, frozen=True, kw_only=True):
    """What a task wrote to stdout: all of it, or its beginning where `stdout_sha256` names the whole."""

    stdout: str = ""
    stdout_base64: str | None = None
    stdout_sha256: str | None = None

    @property
    def head(self) -> bytes:
        """The bytes that are here, as the program wrote them."""
        return base64.b64decode(self.stdout_base64) if self.stdout_base64 is not None else self.stdout.encode()


class Line(msgspec.Struct, frozen=True):
    """A task's result as the server's own JSON."""

    index: int
    seq: int | None
    text: bytes


class BatchItem(msgspec.Struct, frozen=True, kw_only=True):
    """One submission of many: the job, or why there is none."""

    job: Job | None = None
    error: Problem | None = None


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """The answers to many submissions, in their order."""

    jobs: list[BatchItem] = []


class EndedJobs(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs that have ended, and the numbers of those that are not there."""

    jobs: list[Job] = []
    missing: list[int] = []


Submitted = Job | WasmgridError
"""A job, or why it was not taken; as a value, because the others of its batch were."""
