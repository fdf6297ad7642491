"""The same for several: each is tried, also where it fails for another, and the exit code says how it went."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from wasmgrid.cli import exits
from wasmgrid.cli.terminal import say
from wasmgrid.core.errors import Unauthorized, Unreachable, WasmgridError

T = TypeVar("T")


def each(chosen: Sequence[T], act: Callable[[T], int]) -> int:
    """`act` on each; the exit code is that of one, or of several as `exits.of_several` says.

    Where nobody answers at all, that is said once.
    """
    if len(chosen) == 1:
        return act(chosen[0])
    codes = []
    for one in chosen:
        try:
            codes.append(act(one))
        except (Unreachable, Unauthorized):
            raise
        except WasmgridError as error:
            say(str(error))
            codes.append(exits.exit_code(error))
    return exits.of_several(codes)
