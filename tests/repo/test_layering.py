"""Imports go one way, the core is pure, and no file grows into several: held by reading the source, not by habit."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "wasmgrid"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent.name != "texts")  # those are for guests

# A part imports itself and what stands in an earlier row; never its own row's other parts.
ROWS = [
    {"core"},
    {"codegen", "home", "leash", "logs", "scheduling"},
    {"protocol"},
    {"store", "fabric", "build", "runner"},
    {"worker", "control"},
    {"server"},
    {"cli"},
]
SDK_IMPORTS = {"core", "home"}  # the client is light, and knows a grid by its home and its API only
CLIENTS = {"sdk": SDK_IMPORTS, "mcp": SDK_IMPORTS | {"sdk"}}
PURE = {"core", "scheduling", "protocol"}
IMPURE_MODULES = {
    *("asyncio", "concurrent", "ctypes", "fcntl", "glob", "http", "io", "logging", "mmap", "multiprocessing", "os"),
    *("pathlib", "random", "secrets", "select", "selectors", "shutil", "signal", "socket", "sqlite3", "subprocess"),
    *("sys", "tempfile", "threading", "time", "urllib", "uuid"),
    *("anyio", "httpx", "litestar", "nats", "psutil", "sqlalchemy", "structlog", "uvicorn", "uvloop", "wasmtime"),
}
CLOCKS = {"now", "utcnow", "today", "default_rng"}
MOST_LINES = 320


def part_of(path: Path) -> str:
    """The part of the package that a module belongs to: its directory, or its own name at the top."""
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


@cache
def tree(path: Path) -> ast.Module:
    """The module's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imported(path: Path) -> Iterator[str]:
    """Every dotted name that the module imports, inside functions too."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def parts_imported(path: Path) -> set[str]:
    """The parts of wasmgrid that the module imports."""
    names = (name.split(".") for name in imported(path))
    parts = {name[1] for name in names if name[0] == "wasmgrid" and len(name) > 1}
    return parts - {part_of(path), "__version__"}


def allowed(part: str) -> set[str]:
    """The parts that `part` may import."""
    if part in CLIENTS:
        return CLIENTS[part]
    if part == "__main__":
        return {"cli"}
    row = next(number for number, parts in enumerate(ROWS) if part in parts)
    below = set[str]().union(*ROWS[:row])
    return below | set(CLIENTS) if part == "cli" else below


def test_every_part_has_a_place_in_the_order() -> None:
    known = set[str]().union(*ROWS, {*CLIENTS, "__init__", "__main__"})
    assert {part_of(path) for path in MODULES} <= known


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_one_way(path: Path) -> None:
    if part_of(path) == "__init__":  # it names what programs use, and loads it when it is used
        assert parts_imported(path) <= {"core", "sdk"}
        assert not [node for node in tree(path).body if "wasmgrid" in ast.unparse(node) and _imports(node)]
    else:
        assert parts_imported(path) <= allowed(part_of(path))


def _imports(node: ast.stmt) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom)


@pytest.mark.parametrize(
    "path", [path for path in MODULES if part_of(path) in PURE], ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_the_core_reads_no_clock_throws_no_dice_and_does_no_io(path: Path) -> None:
    assert not {name.split(".")[0] for name in imported(path)} & IMPURE_MODULES
    calls = [node.func for node in ast.walk(tree(path)) if isinstance(node, ast.Call)]
    assert not [call.attr for call in calls if isinstance(call, ast.Attribute) and call.attr in CLOCKS]
    assert not [call.id for call in calls if isinstance(call, ast.Name) and call.id in {"open", "print", "input"}]
    assert not [node for node in ast.walk(tree(path)) if isinstance(node, ast.AsyncFunctionDef)]


@pytest.mark.parametrize(
    "path", [path for path in MODULES if part_of(path) in {"cli", "mcp"}], ids=lambda path: path.name
)
def test_whatever_talks_to_a_server_does_so_through_the_sdk(path: Path) -> None:
    assert not {
        name for name in imported(path) if name.startswith(("http.", "httpx", "urllib.request", "requests", "aiohttp"))
    }


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_module_says_what_it_is_for_and_is_one_thing(path: Path) -> None:
    assert ast.get_docstring(tree(path)), f"{path} has no docstring"
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_public_classes_and_functions_have_docstrings(path: Path) -> None:
    bare = [
        node.name
        for node in tree(path).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert not bare
