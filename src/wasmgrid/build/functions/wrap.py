"""What a build adds to a project so that one of its functions can be called."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files as resources


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A project (`files`: path -> content) and the function that is to be called.

    `name` was checked by `check_function`. `entry` is the file that holds it, `flags` are the user's, allowed ones.
    `types` is what the language's `ask` said, where it has one.
    """

    files: Mapping[str, bytes]
    entry: str
    flags: Sequence[str]
    name: str
    types: str = ""


Wrap = Callable[[Wanted], Mapping[str, bytes]]  # the project's files, with what is generated beside and after them
Explain = Callable[[Wanted, str], str]  # (the project as it came, the compiler's words) -> why there can be no call


@cache
def template(name: str) -> str:
    """A text of this package."""
    return resources(__package__).joinpath(name).read_text(encoding="utf-8")


def beside(wanted: Wanted, suffix: str) -> str:
    """A path in the entry's directory that no file of the project has."""
    directory = wanted.entry.rpartition("/")[0]
    name = f"wasmgrid_entry{suffix}"
    while (path := f"{directory}/{name}" if directory else name) in wanted.files:
        name = f"_{name}"
    return path


def followed(content: bytes, line: str) -> bytes:
    """`content` with one more line after its last one, whose numbers stay."""
    return content + (b"" if content.endswith(b"\n") or not content else b"\n") + line.encode() + b"\n"
