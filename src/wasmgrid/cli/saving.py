"""Which files a job is made of, and when one of them was saved: looked at a few times a second, on any file system."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from wasmgrid.core.errors import WasmgridError
from wasmgrid.sdk.files import source_entries

EVERY_S = 0.2
SETTLED_S = 0.15  # editors write in several steps: what changes within this is one change
_LONGEST_S = 5.0  # something that never settles is taken as it is

Seen = dict[str, tuple[int, int, int]]


def of_job(program: str, given: Mapping[str, Any]) -> list[Path]:
    """The files and directories that a request for `program` reads."""
    named = [program, *(given[key] for key in ("stdin", "each_line", "from_json"))]
    return [Path(each) for each in named if each not in {None, "-"}] + [each.path for each in given["inputs"]]


class Files:
    """The files that `paths` gives at any moment, and `always` ones."""

    def __init__(self, paths: Callable[[], Iterable[Path]], always: Iterable[Path] = ()) -> None:
        self._paths = paths
        self._always = list(always)
        self._last: list[Path] = []

    def seen(self) -> Seen:
        """Each file's time, size and number as they are now; what is not there is left out."""
        # A job file that is half saved names nothing: what it named last is looked at until it is mended.
        with contextlib.suppress(WasmgridError, click.ClickException, OSError):
            self._last = list(self._paths())
        found: Seen = {}
        for path in (*self._always, *self._last):
            for each in _below(path):
                try:
                    status = each.stat()
                except OSError:
                    continue
                found[str(each)] = (status.st_mtime_ns, status.st_size, status.st_ino)
        return found

    def settled(self) -> Seen:
        """The same, once nothing changes any more."""
        ends_at = time.monotonic() + _LONGEST_S
        before = self.seen()
        while time.monotonic() < ends_at:
            time.sleep(SETTLED_S)
            now = self.seen()
            if now == before:
                break
            before = now
        return before

    def until_changed(self, seen: object, stop: threading.Event | None = None) -> bool:
        """Wait until something is other than in `seen`; False where `stop` came first."""
        waited = stop or threading.Event()
        while not waited.wait(EVERY_S):
            if self.seen() != seen:
                return True
        return False


def _below(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    try:
        for entry in source_entries(path, field="source"):
            yield entry.path
    except (WasmgridError, OSError):
        return  # what cannot be sent is said when it is to be sent
