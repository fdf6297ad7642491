"""What a command exits with where it is wasmgrid itself that ends it; for a program's end see `core.outcome`."""

from __future__ import annotations

from collections.abc import Sequence

from wasmgrid.core.errors import WasmgridError
from wasmgrid.sdk.views import WASMGRID_FAILED

USAGE = 2
INVALID_PROGRAM = 126
INTERRUPTED = 130
BROKEN_PIPE = 141

# What the person typed is at fault: the same code as for a flag that does not exist.
_USAGE_CODES = frozenset(
    {"invalid_request", "invalid_field", "invalid_path", "flag_refused", "language_unknown", "too_large"}
)


def exit_code(error: WasmgridError) -> int:
    """The exit code of a command that `error` ended."""
    if error.code in _USAGE_CODES:
        return USAGE
    if error.code == "invalid_module":
        return INVALID_PROGRAM
    return WASMGRID_FAILED


def of_several(codes: Sequence[int]) -> int:
    """Of a command that did the same for several jobs: 0 where all went well, what they agree on, else 1."""
    failed = {code for code in codes if code}
    return 0 if not failed else failed.pop() if len(failed) == 1 else 1
