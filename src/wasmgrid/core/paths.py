"""Which paths a request may name. They are names inside a project or a guest, never paths of a host."""

from __future__ import annotations

from wasmgrid.core.errors import InvalidPath

MAX_PATH = 1024
MAX_DEPTH = 64


def check_relative(path: str, *, field: str) -> str:
    """`path` where it is a plain relative path (`src/main.rs`), else `InvalidPath` that says what is wrong with it."""
    problem = _problem(path)
    if problem is not None:
        raise InvalidPath(f"the path {path[:200]!r} {problem}", field=field)
    return path


def check_guest(path: str, *, field: str) -> str:
    """`path` where a guest may find an input there: absolute (`/in/data`), `/` included, else `InvalidPath`."""
    if path == "/":
        return path
    if not path.startswith("/"):
        raise InvalidPath(f"the guest path {path[:200]!r} must begin with /", field=field)
    check_relative(path[1:], field=field)
    return path


def _problem(path: str) -> str | None:
    parts = path.split("/")
    if not path or len(path) > MAX_PATH or len(parts) > MAX_DEPTH:
        return f"is empty, over {MAX_PATH} characters or over {MAX_DEPTH} levels deep"
    if any(ord(char) < 32 or char == "\x7f" for char in path):
        return "has control characters"
    if "\\" in path:
        return "has a backslash; write / between its parts"
    if any(part in {"", ".", ".."} for part in parts):
        return "must be relative, without empty, . or .. parts"
    if any(len(part.encode("utf-8", "surrogatepass")) > 255 for part in parts):
        return "has a part over 255 bytes"
    return None
