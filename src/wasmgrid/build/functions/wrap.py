"""What a build adds to a project so that one of its functions can be called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files as resources

from wasmgrid.core.digest import pack_files, sha256_hex

RESERVED = "wasmgrid_"  # how names begin that are the grid's own, in files and in code


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


class Unsupported(Exception):
    """The function cannot be called; its author is told this text."""


@cache
def template(name: str) -> bytes:
    """A text of this package."""
    return resources(__package__).joinpath("texts", name).read_bytes()


@cache
def generated() -> str:
    """A digest of all that is generated: part of what a toolchain is, because modules are made of it."""
    parts = [path for directory in ("", "texts") for path in resources(__package__).joinpath(directory).iterdir()]
    texts = {path.name: path.read_bytes() for path in parts if path.is_file()}
    return sha256_hex(pack_files(texts))


def beside(entry: str, name: str) -> str:
    """The path of a generated file in the entry's directory."""
    directory = entry.rpartition("/")[0]
    return f"{directory}/{RESERVED}{name}" if directory else f"{RESERVED}{name}"


def followed(content: bytes, line: str) -> bytes:
    """`content` with one more line after its last one, whose numbers stay."""
    return content + (b"" if content.endswith(b"\n") or not content else b"\n") + line.encode() + b"\n"
