"""Fill the last column of docs/security.md's table: which tests hold a row, found by the number in their names."""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "security.md"
ROW = re.compile(r"^\| (\d+) \| (.+) \| (.+) \| .* \|$", re.MULTILINE)


def tests_by_row() -> dict[int, list[str]]:
    """Row -> the names of its tests, sorted."""
    found: defaultdict[int, set[str]] = defaultdict(set)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for name, number in re.findall(r"def (test_hostile_(\d+)_\w+)", path.read_text(encoding="utf-8")):
            found[int(number)].add(name)
    return {number: sorted(names) for number, names in found.items()}


def filled(page: str) -> str:
    """The page with its table's last column as the tests are now."""
    tests = tests_by_row()

    def row(match: re.Match[str]) -> str:
        number, given, expected = match.groups()
        names = ", ".join(f"`{name}`" for name in tests.get(int(number), []))
        return f"| {number} | {given} | {expected} | {names} |"

    return ROW.sub(row, page)


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    covered = tests_by_row()
    missing = [row[0] for row in ROW.findall(PAGE.read_text(encoding="utf-8")) if int(row[0]) not in covered]
    sys.exit(f"rows without a test: {', '.join(missing)}" if missing else 0)
