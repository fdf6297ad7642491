"""Documents say what the code does: tables are compared with it, links resolve, names exist."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from wasmgrid.build.limits import BuildLimits
from wasmgrid.build.toolchains import LANGUAGES
from wasmgrid.cli.commands import COMMANDS
from wasmgrid.cli.main import root
from wasmgrid.core.job import JobSpec
from wasmgrid.core.lifecycle import TRANSITIONS
from wasmgrid.core.limits import MB, Ceiling

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
# The rows of the table of bad inputs that hold for what is built so far.
HOSTILE_ROWS = {*range(1, 74), 79, 81, 82}  # the others are about tenants, tokens that end, and web hooks


def read(path: Path) -> str:
    """A document's text."""
    return path.read_text(encoding="utf-8")


def rows(page: str, heading: str) -> list[list[str]]:
    """The cells of the table whose first line is `heading`, without it."""
    table = page[page.index(heading) :].split("\n\n", maxsplit=1)[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def anchor(title: str) -> str:
    """A heading as a link names it."""
    return re.sub(r"[^\w -]", "", title.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_local_links_resolve(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", read(page)):
        if re.match(r"[a-z]+://", target):
            continue
        name, _, fragment = target.partition("#")
        linked = (page.parent / name).resolve() if name else page
        assert linked.exists(), f"{page.name} links to {target}"
        if fragment:
            if "<!-- from the code: " in read(linked):
                continue  # its headings are there when the site is built, which holds the link: test_site.py
            headings = re.findall(r"^#+ (.+)$", read(linked), re.MULTILINE)
            assert fragment in map(anchor, headings), f"{page.name} links to {target}"


def test_every_document_can_be_reached_from_the_readme() -> None:
    reached, frontier = set[Path](), [ROOT / "README.md"]
    while frontier:
        page = frontier.pop()
        reached.add(page)
        for target in re.findall(r"\]\(([^)\s#]+)", read(page)):
            linked = (page.parent / target).resolve()
            pages = sorted(linked.glob("*.md")) if linked.is_dir() else [linked]
            frontier += [each for each in pages if each.suffix == ".md" and each.exists() and each not in reached]
    assert set(DOCS.rglob("*.md")) <= reached


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_documented(command: str) -> None:
    assert re.search(rf"wasmgrid {command}\b", read(DOCS / "cli.md")), f"docs/cli.md does not show wasmgrid {command}"


def test_the_lifecycle_page_is_the_table_in_the_code() -> None:
    documented = rows(read(DOCS / "lifecycle.md"), "| state | event | next state |")
    assert sorted(map(tuple, documented)) == sorted((*key, after) for key, after in TRANSITIONS.items())


def test_limits_and_their_defaults_are_documented() -> None:
    table = rows(read(DOCS / "limits.md"), "| request key | flag | default | most |")
    documented = {row[0]: (row[2], row[3]) for row in table}
    default, ceiling = JobSpec(), Ceiling()
    for key in ("cpus", "memory_mb", "disk_mb", "gpus"):
        assert documented.pop(key) == (f"{getattr(default, key):g}", f"{getattr(ceiling, key):.0f}")
    minutes, days = default.time_limit_s / 60, ceiling.time_limit_s / 86400
    assert documented.pop("time_limit_s") == (f"{minutes:g}m", f"{days:g}d")
    sizes = (f"{default.output_limit_bytes // MB}M", f"{ceiling.output_limit_bytes // (1 << 30)}G")
    assert documented.pop("output_limit_bytes") == sizes
    assert set(documented) == {"cpu_time_limit_s", "fuel"}


def test_the_ceiling_of_a_request_is_documented() -> None:
    ceiling = Ceiling()
    documented = dict(rows(read(DOCS / "limits.md"), "| what | most |"))
    assert documented["source, all files together"] == f"{ceiling.source_bytes // MB} MB"
    assert documented["files of a project"] == str(ceiling.source_files)
    assert documented["module"] == f"{ceiling.module_bytes // MB} MB"
    assert documented["stdin"] == f"{ceiling.stdin_bytes // MB} MB"
    assert documented["one input"] == f"{ceiling.input_bytes // MB} MB"
    assert documented["retries"] == str(ceiling.retries)


def test_limits_of_a_build_are_documented() -> None:
    limits = BuildLimits()
    documented = {row[0]: row[1] for row in rows(read(DOCS / "toolchains.md"), "| limit | value | over it |")}
    assert documented == {
        "CPU time": f"{limits.cpu_s:g} s",
        "wall time": f"{limits.wall_s:g} s",
        "memory, all processes together": f"{limits.memory_mb} MB",
        "processes": str(limits.processes),
        "size of one file": f"{limits.file_mb} MB",
        "work directory": f"{limits.disk_mb} MB, {limits.files} files",
        "diagnostics": f"{limits.diagnostics_bytes // 1024} KiB",
        "module": f"{limits.module_bytes // MB} MB",
    }


@pytest.mark.parametrize("language", LANGUAGES.values(), ids=lambda language: language.name)
def test_every_language_and_its_build_flags_are_documented(language: object) -> None:
    page = read(DOCS / "toolchains.md")
    assert f"| {language.name} |" in page  # type: ignore[attr-defined]
    for flag in language.flags:  # type: ignore[attr-defined]
        assert f"`{flag.shown}`" in page


def test_every_bad_input_has_tests_and_they_are_there() -> None:
    tests = "".join(read(path) for path in (ROOT / "tests").rglob("test_*.py"))
    table = rows(read(DOCS / "security.md"), "| # | input | must get | tests |")
    assert {int(row[0]) for row in table} == HOSTILE_ROWS
    for row in table:
        names = re.findall(r"`(test_hostile_0*(\d+)_\w+)`", row[3])
        assert names, f"row {row[0]} has no test; write one, then: make docs"
        assert all(int(number) == int(row[0]) and f"def {name}(" in tests for name, number in names), row


def test_the_changelog_has_a_place_for_what_comes() -> None:
    changelog = read(ROOT / "CHANGELOG.md")
    assert "keepachangelog.com" in changelog
    assert re.search(r"^## \[Unreleased\]", changelog, re.MULTILINE)


def test_the_architecture_stays_short_and_names_what_is_there() -> None:
    page = read(ROOT / "ARCHITECTURE.md")
    assert len(page.splitlines()) <= 150
    package = ROOT / "src" / "wasmgrid"
    for name in re.findall(r"`([a-z_/]+(?:\.py|/))`", page):
        assert any(ROOT.glob(name)) or any(package.rglob(name.rstrip("/"))), f"there is no {name}"


def test_decision_records_have_one_form() -> None:
    for number, record in enumerate(sorted((DOCS / "adr").glob("*.md")), start=1):
        text = read(record)
        assert record.name.startswith(f"{number:04d}-")
        assert text.startswith(f"# {number}. ")
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]


def typed_commands(page: Path) -> list[tuple[str, list[str]]]:
    """(command, its flags) of every line in a code block of `page` that types wasmgrid."""
    lines = re.findall(r"^(?:    (?:\$ )?|\$ )wasmgrid ([a-z]+(?:-[a-z]+)*)\b(.*)$", read(page), re.MULTILINE)
    return [
        (name, re.findall(r"(?<![\w-])(?:--[a-z][a-z-]*|-[a-z](?![\w-]))", re.split(r" -- |[|;#]", rest)[0]))
        for name, rest in lines
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_flags_that_are_shown_exist(page: Path) -> None:
    context = click.Context(root)
    for name, flags in typed_commands(page):
        if f"No such command '{name}'" in read(page):
            continue
        command = root.get_command(context, name)
        assert command is not None, f"{page.name} types wasmgrid {name}"
        commands = [command, *(command.commands.values() if isinstance(command, click.Group) else [])]
        known = {flag for each in commands for option in each.params for flag in [*option.opts, *option.secondary_opts]}
        assert set(flags) <= known | {"--help"}, f"{page.name} types wasmgrid {name} with {set(flags) - known}"
