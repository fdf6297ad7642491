"""What a client raises of its own: a guest's failure where the caller asked for success, a build, a closed client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasmgrid.core.errors import WasmgridError
from wasmgrid.core.printable import neutralised, one_line

if TYPE_CHECKING:
    from wasmgrid.sdk.results import AsyncResult, Result

TAIL_LINES = 10  # of stderr in a message
TAIL_CHARS = 2000


class BuildFailed(WasmgridError):
    """The toolchain refused the source. `diagnostics` are its words, and are printed with the error.

    `job_id` is the job's number, `language` what it was compiled as (None where that is not known).
    """

    code = "build_failed"

    def __init__(self, message: str, *, job_id: int, diagnostics: str = "", language: str | None = None) -> None:
        super().__init__(message, hint=None if diagnostics else f"wasmgrid logs --build {job_id}")
        self.job_id = job_id
        self.diagnostics = diagnostics
        self.language = language

    def __str__(self) -> str:
        return f"{super().__str__()}\n{neutralised(self.diagnostics)}".rstrip()


class TaskFailed(WasmgridError):
    """A task did not exit with 0, and its success was asked for (`check()`, a function's call).

    `result` is the whole `Result`, with outcome, output and statistics; the end of its stderr is printed with it.
    """

    code = "task_failed"

    def __init__(self, result: Result | AsyncResult) -> None:
        whole = result.of_array and result.index is None
        counts = result.counts
        said = f"{counts.total - counts.succeeded:,} of {counts.total:,} tasks" if whole else result.message
        where = f"job {result.job_id}" + (f" task {result.index}" if result.of_array and not whole else "")
        hint = f"which: wasmgrid tasks {result.job_id} --failed, or result.tasks(failed=True)" if whole else None
        super().__init__(f"{where} ended with {result.ended}" + (f": {one_line(said)}" if said else ""), hint=hint)
        self.result = result

    def __str__(self) -> str:
        tail = "\n".join(self.result.stderr.rstrip().splitlines()[-TAIL_LINES:])[-TAIL_CHARS:]
        return f"{super().__str__()}\n{neutralised(tail)}".rstrip()


class ClientClosed(WasmgridError):
    """The client was closed while somebody waited; the job goes on where its grid does."""

    code = "client_closed"
