"""How far an upload or a download is: a bar on a terminal once it takes a second, nothing elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self, cast

from wasmgrid.cli.terminal import one_line, redraws
from wasmgrid.sdk.blobs import Blob

if TYPE_CHECKING:  # 0.1 s to import, for what is drawn only
    from rich.progress import Progress

DELAY_S = 0.7  # what is over by then is never drawn


class Transfer:
    """Counts bytes and draws them on stderr; use it in a `with`, so that the terminal is left as it was."""

    def __init__(self, what: str, size: int | None) -> None:
        self._what = what
        self._size = size
        self._done = 0
        self._drawn: Progress | None = None
        self._draw_at = time.monotonic() + DELAY_S if redraws(sys.stderr) else float("inf")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._drawn is not None:
            self._drawn.stop()
            self._drawn = None

    def add(self, count: int) -> None:
        """So many bytes more."""
        self._done += count
        if self._drawn is not None:
            self._drawn.update(self._drawn.task_ids[0], completed=self._done)
        elif time.monotonic() >= self._draw_at:
            self._drawn = self._draw()

    def counted(self, file: IO[bytes]) -> IO[bytes]:
        """`file`, of which what is written is counted."""
        return cast("IO[bytes]", _Counted(file, self))

    def uploaded(self, blobs: Mapping[str, Blob]) -> dict[str, Blob]:
        """The same blobs; those of them that are sent are counted."""
        return {sha256: replace(blob, chunks=partial(self._sent, blob)) for sha256, blob in blobs.items()}

    def _sent(self, blob: Blob) -> Iterator[bytes]:
        for chunk in blob.chunks():
            yield chunk
            self.add(len(chunk))

    def _draw(self) -> Progress:
        from rich.console import Console  # noqa: PLC0415 -- see above
        from rich.progress import (  # noqa: PLC0415 -- see above
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        progress = Progress(
            TextColumn("{task.description}", markup=False), BarColumn(bar_width=24), DownloadColumn(binary_units=True),
            TransferSpeedColumn(), TimeRemainingColumn(compact=True), console=Console(file=sys.stderr),
            refresh_per_second=4, transient=True, redirect_stdout=False, redirect_stderr=False,
        )  # fmt: skip
        progress.add_task(one_line(self._what)[:40], total=self._size, completed=self._done)
        progress.start()
        return progress


class _Counted:
    def __init__(self, file: IO[bytes], transfer: Transfer) -> None:
        self._file = file
        self._transfer = transfer

    def write(self, data: bytes) -> int:
        written = self._file.write(data)
        self._transfer.add(written)
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
