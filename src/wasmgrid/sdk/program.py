"""What `client.run("...")` is given: a path, source, a module's bytes, or its digest."""

from __future__ import annotations

import os
import re
from pathlib import Path

from wasmgrid.core.digest import is_sha256
from wasmgrid.core.errors import InvalidPath

Program = str | os.PathLike[str] | bytes
"""A file, a project's directory, source as text, the bytes of a source or a .wasm, or a module's sha256.

A `Path` is a path. A `str` is source where it has more than one line, else the path of what is there, or a digest;
a single line of source needs `language`.
"""

_NAMED = re.compile(r"\S+\.\w{1,8}|\S*/\S*")  # `add.rs`, `./add`: a path, though nothing is there
_SHOWN = 60


def resolved(program: Program, language: str | None = None) -> str | Path | bytes:
    """The program as `prepare.job` takes it; raises `InvalidPath` for a name at which nothing is."""
    if isinstance(program, bytes | bytearray | memoryview):
        return bytes(program)
    if not isinstance(program, str):
        return Path(program)
    if "\n" in program:
        return program.encode()
    if exists(program):
        return Path(program)
    if is_sha256(program):
        return program
    if language is not None and not _NAMED.fullmatch(program.strip()):
        return program.encode()
    hint = "source of one line: say its language=" if " " in program else f"paths are relative to {Path.cwd()}"
    raise InvalidPath(f"there is no {program[:_SHOWN]!r}", hint=hint, field="source")


def text_of(program: Program) -> str:
    """The source as text, where it is one file of it: for what a person is shown. Empty for anything else."""
    found = resolved(program) if not isinstance(program, str) or "\n" not in program else program.encode()
    try:
        data = found if isinstance(found, bytes) else Path(found).read_bytes() if Path(found).is_file() else b""
    except OSError:
        return ""
    return "" if data.startswith(b"\0asm") else data[: 1 << 20].decode("utf-8", "replace")


def exists(name: str) -> bool:
    """Whether something is at this path."""
    try:
        return Path(name).exists()
    except (OSError, ValueError):  # too long for a name, or a NUL in it
        return False
