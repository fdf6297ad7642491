"""Gathers all pages of the site into one folder: docs/, pages from elsewhere, and in both what is made of the code."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from scripts.docs import reference

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
# Pages that live elsewhere, because people look for them there.
ELSEWHERE = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CHANGELOG.md": "changelog.md",
    "examples/README.md": "examples.md",
    "docs/adr": "adr/index.md",
}
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")
COMMENT_AT_TABLE = re.compile(r"^(<!-- .* -->\n(?=\|)|\|.*\n(?=<!-- ))", re.MULTILINE)
CODE = re.compile(r"(^```.*?^```$|`[^`\n]+`)", re.MULTILINE | re.DOTALL)


def stage(pages: Path) -> None:
    """Make `pages` anew."""
    shutil.rmtree(pages, ignore_errors=True)
    shutil.copytree(DOCS, pages)
    for path in sorted(pages.rglob("*.md")):
        relative = path.relative_to(pages)
        path.write_text(page_of(Path("docs") / relative, relative), encoding="utf-8")
    for source, target in ELSEWHERE.items():
        if (ROOT / source).is_file():
            (pages / target).write_text(page_of(Path(source), Path(target)), encoding="utf-8")
    (pages / "adr" / "index.md").write_text(decisions(), encoding="utf-8")


def page_of(source: Path, target: Path) -> str:
    """The text of `source` (from the root), with links that hold at `target` (from the site's)."""
    text = reference.filled((ROOT / source).read_text(encoding="utf-8"))
    text = COMMENT_AT_TABLE.sub(r"\1\n", text)  # which Python's Markdown would take for one block
    parts = CODE.split(text)
    return "".join(part if number % 2 else relinked(part, source, target) for number, part in enumerate(parts))


def relinked(text: str, source: Path, target: Path) -> str:
    """`text` with its links as they are in the site; what leads to a file that is no page is no link there."""

    def link(match: re.Match[str]) -> str:
        words, place, fragment = match[1], match[2], match[3] or ""
        if re.match(r"[a-z]+:", place):
            return match[0]
        named = os.path.normpath(source.parent / place)
        inside = ELSEWHERE.get(named) or (named.removeprefix("docs/") if named.startswith("docs/") else None)
        if inside is None:
            return words if (ROOT / named).exists() else match[0]
        return f"[{words}]({os.path.relpath(inside, target.parent)}{fragment})"

    return LINK.sub(link, text)


def decisions() -> str:
    """The list of decision records."""
    lines = ["# Decisions", "", "What was decided, why, and what follows from it: a page each.", ""]
    for record in sorted((DOCS / "adr").glob("[0-9]*.md")):
        title = record.read_text(encoding="utf-8").split("\n", 1)[0].removeprefix("# ")
        lines.append(f"- [{title}]({record.name})")
    return "\n".join(lines) + "\n"
