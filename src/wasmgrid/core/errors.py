"""Our own failures, one tree with stable codes. A guest's failure is not here: it is a value (`core.outcome`).

Only `server/problems.py` knows which HTTP status a code has.
"""

from __future__ import annotations

from typing import ClassVar


class WasmgridError(Exception):
    """Something wasmgrid could not do, told to a person.

    `message` says what happened and where, `hint` what to do next (a command to type where there is one),
    `field` names the request key at fault, dotted (`source.files`), or is None.
    """

    code: ClassVar[str] = "internal"

    def __init__(self, message: str, *, hint: str | None = None, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.field = field

    def __str__(self) -> str:
        return f"error[{self.code}]: {self.message}" + (f" · {self.hint}" if self.hint else "")


class InvalidRequest(WasmgridError):
    """The bytes are not a request at all: malformed JSON, duplicate keys, a wrong content type."""

    code = "invalid_request"


class InvalidField(WasmgridError):
    """One field of a request has a value that it cannot have; `field` names it."""

    code = "invalid_field"


class InvalidPath(InvalidField):
    """A path that no request may name: absolute, with `..`, or one that is a file and a directory at once."""

    code = "invalid_path"


class Unsatisfiable(WasmgridError):
    """No worker of this grid could run the job, and `fail_fast` asked not to wait for one."""

    code = "unsatisfiable"


class TooLarge(WasmgridError):
    """A body, a source, a module or an input is over its stated size."""

    code = "too_large"


class SlowRequest(WasmgridError):
    """A request's body came in slower than the stated floor."""

    code = "slow_request"


class Unauthorized(WasmgridError):
    """No token, or not a token of this grid."""

    code = "unauthorized"


class Forbidden(WasmgridError):
    """A foreign Host or Origin: a web page must not be able to use the grid of whoever visits it."""

    code = "forbidden"


class JobNotFound(WasmgridError):
    """No such job, or it belongs to another tenant."""

    code = "job_not_found"


class NotFound(WasmgridError):
    """No such module, artifact, worker or page."""

    code = "not_found"


class ModuleNotFound(WasmgridError):
    """A job names a module by digest that the store does not hold: upload it first."""

    code = "module_not_found"


class InputNotFound(WasmgridError):
    """A job names an input by digest that the store does not hold: upload it first."""

    code = "input_not_found"


class InvalidModule(WasmgridError):
    """The bytes are not a WebAssembly module that this grid can run."""

    code = "invalid_module"


class IdempotencyConflict(WasmgridError):
    """The idempotency key was used before, for another request."""

    code = "idempotency_conflict"


class LanguageUnknown(WasmgridError):
    """Neither `language` nor a file's name or content says which toolchain is meant."""

    code = "language_unknown"


class FlagRefused(WasmgridError):
    """A build flag outside the allow-list of its language."""

    code = "flag_refused"


class ToolchainUnavailable(WasmgridError):
    """A toolchain is missing, broken, or cannot be installed here."""

    code = "toolchain_unavailable"


class SandboxUnavailable(WasmgridError):
    """No sandbox for compilers works on this machine; source is refused, ready .wasm still runs."""

    code = "sandbox_unavailable"


class Unavailable(WasmgridError):
    """The server cannot take this now (disk full, shutting down, no leader); nothing was accepted. Try again."""

    code = "unavailable"


class Unreachable(WasmgridError):
    """A configured server, fabric or worker does not answer."""

    code = "unreachable"


class TimedOutWaiting(WasmgridError):
    """Something did not happen before its deadline (a read, a start, a shutdown)."""

    code = "timed_out_waiting"


class ProtocolMismatch(WasmgridError):
    """A message of another protocol version: one side must be upgraded."""

    code = "protocol_mismatch"


class Superseded(WasmgridError):
    """This server no longer leads: another took a higher term. Nothing was written."""

    code = "superseded"


class HomeInUse(WasmgridError):
    """Another `wasmgrid up` holds the lock on this home."""

    code = "home_in_use"


class InvalidTransition(WasmgridError):
    """An event that the lifecycle table does not allow in this state: a bug, never a user's doing."""

    code = "invalid_transition"


class DigestMismatch(WasmgridError):
    """Bytes came in that are not those that their digest names; nothing of them was kept."""

    code = "digest_mismatch"
