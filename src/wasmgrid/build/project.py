"""Whether a project may come in: its size, its paths, its bytes. Told before anything is stored or compiled."""

from __future__ import annotations

from collections.abc import Mapping

from wasmgrid.core.errors import InvalidField, TooLarge
from wasmgrid.core.limits import Ceiling
from wasmgrid.core.paths import check_relative
from wasmgrid.core.units import format_bytes

_FIELD = "source.files"


def check_source(files: Mapping[str, bytes], ceiling: Ceiling | None = None) -> None:
    """Raise unless `files` (path -> content) is a project that a toolchain may see.

    `TooLarge` for too many files or bytes, `InvalidField` for no files, a path that is not a plain relative one, two
    paths that exclude each other, or a project without a single byte. What is *in* a file is for its compiler to judge:
    text that is not UTF-8 or holds NUL bytes comes in, is kept as it is, and fails its build with the compiler's words.
    """
    ceiling = ceiling or Ceiling()
    if not files:
        raise InvalidField("the source has no files", hint="name at least one file", field=_FIELD)
    _check_sizes(files, ceiling)
    for path in files:
        check_relative(path, field=_FIELD)
        if not path.isprintable():
            raise InvalidField(f"the path {path[:200]!r} has characters that cannot be shown", field=_FIELD)
    _check_shadowing(files)
    if not any(files.values()):
        raise InvalidField("the source is empty", hint="every file has 0 bytes", field=_FIELD)


def _check_sizes(files: Mapping[str, bytes], ceiling: Ceiling) -> None:
    if len(files) > ceiling.source_files:
        raise TooLarge(
            f"the source has {len(files)} files, this grid takes at most {ceiling.source_files}",
            hint="leave out what the build does not need (.gitignore is respected)",
            field=_FIELD,
        )
    total = sum(len(content) for content in files.values())
    if total > ceiling.source_bytes:
        raise TooLarge(
            f"the source has {format_bytes(total)}, this grid takes at most {format_bytes(ceiling.source_bytes)}",
            hint="leave out what the build does not need (.gitignore is respected)",
            field=_FIELD,
        )


def _check_shadowing(files: Mapping[str, bytes]) -> None:
    """A path cannot be a file and a directory at once (`a` and `a/b`)."""
    for path in files:
        parent = path
        while "/" in parent:
            parent = parent.rpartition("/")[0]
            if parent in files:
                raise InvalidField(f"{parent!r} is a file and the directory of {path!r}", field=_FIELD)
