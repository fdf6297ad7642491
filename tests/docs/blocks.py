"""The code blocks of a page, with what is said about them: docs/writing.md has the rules."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```[ ]*$", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"<!-- (not run|stays|differs): ((?:(?!-->).)+) -->\s*\Z", re.DOTALL)
INDENTED = re.compile(r"(?:\A|\n[ ]*\n)((?: {4}|\t)[^\n]+)")


@dataclass(frozen=True)
class Block:
    """One fenced block. `line` is the page's, from 1; `notes` are the comments right before it, by their word."""

    page: Path
    line: int
    language: str
    text: str
    title: str = ""
    notes: dict[str, str] = field(default_factory=dict)
    follows: bool = False  # nothing but white space is between it and the block before

    @property
    def place(self) -> str:
        """Where it stands."""
        return f"{self.page.name}:{self.line}"


@dataclass
class Typed:
    """A command as it was typed, and what the page shows below it."""

    line: int
    command: str
    shown: list[str] = field(default_factory=list)


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found, end = list[Block](), 0
    for fence in FENCE.finditer(text):
        language, _, rest = fence["info"].strip().partition(" ")
        title = re.search(r'title="([^"]+)"', rest)
        found.append(
            Block(
                page=page,
                line=text.count("\n", 0, fence.start()) + 1,
                language=language,
                text=textwrap.dedent(fence["text"]) if fence["indent"] else fence["text"],
                title=title[1] if title else "",
                notes=notes(text[: fence.start()]),
                follows=bool(found) and not text[end : fence.start()].strip(),
            )
        )
        end = fence.end()
    return found


def notes(before: str) -> dict[str, str]:
    """The comments at the end of `before`, by their word."""
    said = dict[str, str]()
    while comment := COMMENT.search(before):
        said[comment[1]] = " ".join(comment[2].split())
        before = before[: comment.start()]
    return said


def own_grid(page: Path) -> bool:
    """Whether the page begins where nothing runs, in a home of its own."""
    return "<!-- grid: own -->" in page.read_text(encoding="utf-8")


def indented(page: Path) -> list[str]:
    """First lines of blocks that are code by indentation alone: nobody can say their language, so none may be."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    return [line for line in INDENTED.findall(text) if not re.match(r"\s*(?:[-*]|\d+\.) ", line)]


def typed(block: Block) -> list[Typed]:
    """The commands of a console block; a line that ends with a backslash goes on, and so do here-documents."""
    found: list[Typed] = []
    goes_on = ""  # what ends the command that is being read; empty where none is
    for number, line in enumerate(block.text.splitlines(), start=block.line + 1):
        if goes_on:
            found[-1].command += "\n" + line.removeprefix("> ")
            goes_on = "" if _ends(line, goes_on) else goes_on
        elif line.startswith(("$ ", "# ")) and line[2:].strip():
            found.append(Typed(number, line[2:]))
            here = re.search(r"<<-?\s*['\"]?(\w+)", line)
            goes_on = here[1] if here else "\\" if line.endswith("\\") else ""
        elif found:
            found[-1].shown.append(line)
        else:
            raise AssertionError(f"{block.place}: a console block begins with a command: $ ...")
    return found


def _ends(line: str, mark: str) -> bool:
    return not line.endswith("\\") if mark == "\\" else line.removeprefix("> ").strip() == mark
