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
    """The bytes are not a request at all: malformed JSON, duplicate keys, a wrong content type.

    What to do: send JSON (or multipart) that parses; `GET /schema` describes it.
    """

    code = "invalid_request"


class InvalidField(WasmgridError):
    """One field of a request has a value that it cannot have; `field` names it.

    What to do: correct the key that `field` names; the hint has the nearest name or the bound.
    """

    code = "invalid_field"


class InvalidPath(InvalidField):
    """A path that no request may name: absolute, with `..`, or one that is a file and a directory at once.

    What to do: give paths relative to the source or, for inputs, absolute ones of the guest, without `..` and links.
    """

    code = "invalid_path"


class Unsatisfiable(WasmgridError):
    """No worker of this grid could run the job, and `fail_fast` asked not to wait for one.

    What to do: ask for less, start a worker that fits, or leave `fail_fast` out and the job waits.
    """

    code = "unsatisfiable"


class TooLarge(WasmgridError):
    """A body, a source, a module or an input is over its stated size.

    What to do: send less, or ask the operator for another ceiling.
    """

    code = "too_large"


class SlowRequest(WasmgridError):
    """A request's body came in slower than the stated floor.

    What to do: send again over a faster way; large inputs and modules go ahead by digest, one by one.
    """

    code = "slow_request"


class Unauthorized(WasmgridError):
    """No token, or not a token of this grid.

    What to do: set `WASMGRID_TOKEN` to what the file `token` in the server's home holds.
    """

    code = "unauthorized"


class Forbidden(WasmgridError):
    """A foreign Host or Origin: a web page must not be able to use the grid of whoever visits it.

    What to do: use the name under which the server listens (`--advertise`), and no page of another site.
    """

    code = "forbidden"


class JobNotFound(WasmgridError):
    """No such job, or it belongs to another tenant.

    What to do: `wasmgrid jobs` lists what there is.
    """

    code = "job_not_found"


class NotFound(WasmgridError):
    """No such module, artifact, worker or page.

    What to do: look at the list that it would stand in; `GET /schema` has every route.
    """

    code = "not_found"


class ModuleNotFound(WasmgridError):
    """A job names a module by digest that the store does not hold: upload it first.

    What to do: `PUT /v1/modules/{sha256}` first; the SDK and the command line do it themselves.
    """

    code = "module_not_found"


class InputNotFound(WasmgridError):
    """A job names an input by digest that the store does not hold: upload it first.

    What to do: `PUT /v1/inputs/{sha256}` first; the SDK and the command line do it themselves.
    """

    code = "input_not_found"


class InvalidModule(WasmgridError):
    """The bytes are not a WebAssembly module that this grid can run.

    What to do: build it for WASI preview 1 (`wasm32-wasip1`); the message names the import or the section at fault.
    """

    code = "invalid_module"


class IdempotencyConflict(WasmgridError):
    """The idempotency key was used before, for another request.

    What to do: use a new key, or send the same request as before.
    """

    code = "idempotency_conflict"


class LanguageUnknown(WasmgridError):
    """Neither `language` nor a file's name or content says which toolchain is meant.

    What to do: say `--language`, or give the file its usual ending.
    """

    code = "language_unknown"


class FlagRefused(WasmgridError):
    """A build flag outside the allow-list of its language.

    What to do: use a flag of the [allow-list](../toolchains.md).
    """

    code = "flag_refused"


class ToolchainUnavailable(WasmgridError):
    """A toolchain is missing, broken, or cannot be installed here.

    What to do: `wasmgrid toolchain install LANGUAGE` on a worker; `wasmgrid doctor` says what is missing.
    """

    code = "toolchain_unavailable"


class SandboxUnavailable(WasmgridError):
    """No sandbox for compilers works on this machine; source is refused, ready .wasm still runs.

    What to do: `wasmgrid doctor` says what this machine lacks; or compile elsewhere and send the .wasm.
    """

    code = "sandbox_unavailable"


class Unavailable(WasmgridError):
    """The server cannot take this now (disk full, shutting down, no leader); nothing was accepted. Try again.

    What to do: send the same again after `Retry-After`, with an `idempotency_key`.
    """

    code = "unavailable"


class Unreachable(WasmgridError):
    """A configured server, fabric or worker does not answer.

    What to do: `wasmgrid doctor` says what runs here and what answers.
    """

    code = "unreachable"


class TimedOutWaiting(WasmgridError):
    """Something did not happen before its deadline (a read, a start, a shutdown).

    What to do: wait and ask again; what was accepted goes on.
    """

    code = "timed_out_waiting"


class ProtocolMismatch(WasmgridError):
    """A message of another protocol version: one side must be upgraded.

    What to do: install the same version of wasmgrid on both sides: servers first.
    """

    code = "protocol_mismatch"


class Superseded(WasmgridError):
    """This server no longer leads: another took a higher term. Nothing was written.

    What to do: send the same again: another server leads by now.
    """

    code = "superseded"


class HomeInUse(WasmgridError):
    """Another `wasmgrid up` holds the lock on this home.

    What to do: use the grid that runs there, stop it with `wasmgrid down`, or set `WASMGRID_HOME` to another directory.
    """

    code = "home_in_use"


class InvalidTransition(WasmgridError):
    """An event that the lifecycle table does not allow in this state: a bug, never a user's doing.

    What to do: report it, with the server's log.
    """

    code = "invalid_transition"


class DigestMismatch(WasmgridError):
    """Bytes came in that are not those that their digest names; nothing of them was kept.

    What to do: compute the sha256 of the very bytes that are sent, and send again.
    """

    code = "digest_mismatch"
