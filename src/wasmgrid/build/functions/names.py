"""Which names of functions a build takes: they become code, so nothing but names may pass."""

from __future__ import annotations

import re

from wasmgrid.build.functions.wrap import RESERVED
from wasmgrid.core.errors import InvalidField

_MOST = 200
_IDENTIFIER = r"[A-Za-z_][A-Za-z0-9_]*"
_PATHS = {  # a function in a module, a namespace, a container
    "rust": rf"{_IDENTIFIER}(::{_IDENTIFIER})*",
    "cpp": rf"{_IDENTIFIER}(::{_IDENTIFIER})*",
    "zig": rf"{_IDENTIFIER}(\.{_IDENTIFIER})*",
}
_READY = ("wasm", "wat")  # an export may have any name; it is looked up, never compiled


def check_function(language: str, name: str) -> None:
    """Raise `InvalidField` unless `name` can be a function of that language, and nothing else."""
    if language in _READY:
        if 0 < len(name) <= _MOST and name.isprintable():
            return
    elif len(name) <= _MOST and re.fullmatch(_PATHS.get(language, _IDENTIFIER), name, re.ASCII):
        if not any(part.startswith(RESERVED) for part in re.split(r"\W+", name)):
            return
        raise InvalidField(
            f"the name {name!r} is one of the grid's own",
            hint=f"names that begin with {RESERVED} are",
            field="function",
        )
    raise InvalidField(f"{name[:100]!r} is not the name of a {language} function", hint="such as add", field="function")
