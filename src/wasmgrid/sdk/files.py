"""What of a directory is sent: plain files, in one order, without what .gitignore names. Links are refused."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wasmgrid.core.errors import InvalidPath

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

_NEVER = frozenset({".git", ".hg", ".svn", "__pycache__", ".DS_Store"})
_CACHE_TAG = "CACHEDIR.TAG"  # https://bford.info/cachedir/: cargo marks its target directory so
_CACHE_SIGNATURE = b"Signature: 8a477f597d28d172789f06886806bc55"


@dataclass(frozen=True)
class Entry:
    """A file or directory below a root: its path there (`src/main.rs`), where it is, and whether it may be run."""

    name: str
    path: Path
    is_directory: bool
    executable: bool


def entries(root: Path, *, field: str) -> Iterator[Entry]:
    """All below `root`, sorted, directories before what is in them; raises `InvalidPath` at a link or a device."""
    return _below(root, "", None, field)


def source_entries(root: Path, *, field: str) -> Iterator[Entry]:
    """The files of a project: `entries` without what .gitignore files, caches and version control put aside.

    Hard links are refused too: a compiler's sandbox could not tell them from a file of the host.
    """
    for entry in _below(root, "", _rules_above(root), field):
        if not entry.is_directory:
            if entry.path.stat(follow_symlinks=False).st_nlink > 1:
                raise _refused(entry.name, "is a hard link", f"copy it: cp {entry.name} x && mv x {entry.name}", field)
            yield entry


class _Rules:
    """The .gitignore files that govern a directory, the nearest first."""

    def __init__(self, specs: list[tuple[str, GitIgnoreSpec]]) -> None:
        self._specs = specs

    def ignores(self, name: str, *, is_directory: bool) -> bool:
        """Whether the nearest rule that speaks of `name` puts it aside."""
        for base, spec in self._specs:
            verdict = spec.check_file(_within(base, name) + ("/" if is_directory else "")).include
            if verdict is not None:
                return verdict
        return False

    def entering(self, directory: Path, name: str) -> _Rules:
        """These rules and those of `directory`, which is called `name` below the root."""
        spec = _gitignore(directory)
        return self if spec is None else _Rules([(name, spec), *self._specs])


def _below(root: Path, name: str, rules: _Rules | None, field: str) -> Iterator[Entry]:
    directory = root / name
    rules = None if rules is None else rules.entering(directory, name)
    with os.scandir(directory) as listing:
        found = sorted(listing, key=lambda entry: entry.name)
    for item in found:
        inner = f"{name}/{item.name}" if name else item.name
        path = Path(item.path)
        status = item.stat(follow_symlinks=False)
        is_directory = stat.S_ISDIR(status.st_mode)
        if rules is not None and _put_aside(path, inner, rules, is_directory=is_directory):
            continue
        _check(inner, status.st_mode, field)
        yield Entry(inner, path, is_directory, bool(status.st_mode & stat.S_IXUSR))
        if is_directory:
            yield from _below(root, inner, rules, field)


def _put_aside(path: Path, name: str, rules: _Rules, *, is_directory: bool) -> bool:
    if path.name in _NEVER or rules.ignores(name, is_directory=is_directory):
        return True
    return is_directory and _is_cache(path)


def _is_cache(directory: Path) -> bool:
    try:
        with (directory / _CACHE_TAG).open("rb") as file:
            return file.read(len(_CACHE_SIGNATURE)) == _CACHE_SIGNATURE
    except OSError:
        return False


def _check(name: str, mode: int, field: str) -> None:
    if stat.S_ISLNK(mode):
        hint = "copy what it points at in its place, or name it in .gitignore"
        raise _refused(name, "is a symbolic link", hint, field)
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise _refused(name, "is neither a file nor a directory", "move it out of there", field)
    try:
        name.encode()
    except UnicodeEncodeError:
        raise _refused(name, "has a name that is not UTF-8", "rename it", field) from None


def _refused(name: str, what: str, hint: str, field: str) -> InvalidPath:
    return InvalidPath(f"{name!r} {what}; only plain files and directories are sent", hint=hint, field=field)


def _rules_above(root: Path) -> _Rules:
    """The rules of the directories above `root`, up to the repository that it is part of, if it is."""
    root = root.resolve()
    above: list[tuple[str, GitIgnoreSpec]] = []
    here = root
    while not (here / ".git").exists():
        if here == here.parent:
            return _Rules([])  # no repository: a .gitignore somewhere above is none of this project's
        here = here.parent
        spec = _gitignore(here)
        if spec is not None:
            above.append((f"//{root.relative_to(here)}", spec))
    return _Rules(above)


def _within(base: str, name: str) -> str:
    """`name` (relative to the root) as the rules at `base` see it: below it, or above the root (`//inner/path`)."""
    if base.startswith("//"):
        return f"{base[2:]}/{name}"
    return name[len(base) + 1 :] if base else name


def _gitignore(directory: Path) -> GitIgnoreSpec | None:
    try:
        text = (directory / ".gitignore").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    from pathspec import GitIgnoreSpec  # noqa: PLC0415 -- only projects with a .gitignore pay for it

    return GitIgnoreSpec.from_lines(text.splitlines())
