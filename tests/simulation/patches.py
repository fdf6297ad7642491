"""Bugs kept as patches: a unified diff with words before it, applied to a copy of the package by its text alone."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

BUGS = Path(__file__).parent / "bugs"
PACKAGE = Path(__file__).parents[2] / "src" / "wasmgrid"
PURE = ("__init__.py", "core", "scheduling", "protocol")  # all that the simulator imports

_WITHIN = re.compile(r"^Caught within (\d+) seeds\.$", re.MULTILINE)
_FILE = re.compile(r"^\+\+\+ b/src/wasmgrid/(\S+)$")


class DoesNotApply(Exception):
    """The source has changed where the patch has its place."""


@dataclass(frozen=True)
class Edit:
    """`before` in the file at `path` becomes `after`."""

    path: str
    before: str
    after: str


@dataclass(frozen=True)
class Patch:
    """A bug: what it is, within how many seeds the simulator must catch it, and how it is made."""

    name: str
    words: str
    within: int
    edits: list[Edit]


def read(name: str) -> Patch:
    """The patch of that name."""
    text = (BUGS / f"{name}.patch").read_text(encoding="utf-8")
    words, _, diff = text.partition("\n--- ")
    within = _WITHIN.search(words)
    if within is None:
        raise DoesNotApply(f"{name}.patch does not say within how many seeds it is caught")
    return Patch(name, words.split("\n")[0], int(within.group(1)), _edits(f"--- {diff}"))


def plant(patch: Patch, directory: Path) -> None:
    """Make a copy of the package with this bug in `directory`; raises `DoesNotApply`."""
    copy = directory / "wasmgrid"
    for part in PURE:
        source = PACKAGE / part
        if source.is_dir():
            shutil.copytree(source, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            copy.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, copy / part)
    for edit in patch.edits:
        path = copy / edit.path
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        if text.count(edit.before) != 1:
            raise DoesNotApply(
                f"bugs/{patch.name}.patch has its place {text.count(edit.before)} times in {edit.path}: "
                "make it again from the source as it is now"
            )
        path.write_text(text.replace(edit.before, edit.after), encoding="utf-8")


def _edits(diff: str) -> list[Edit]:
    """One edit per hunk; line numbers are not looked at, so that a patch outlives changes elsewhere in its file."""
    edits: list[Edit] = []
    path, before, after = "", [""], [""]
    for line in [*diff.splitlines(keepends=True), "@@"]:
        found = _FILE.match(line.rstrip("\n"))
        if line.startswith(("@@", "---", "+++")):
            if before != [""] or after != [""]:
                edits.append(Edit(path, "".join(before), "".join(after)))
            before, after = [""], [""]
            path = found.group(1) if found else path
            continue
        if not line.startswith("+"):
            before.append(line[1:])
        if not line.startswith("-"):
            after.append(line[1:])
    return edits
