"""The bar of a map: where it is drawn, and that what a program prints stays where it was sent."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from wasmgrid.sdk import progress

PROGRAM = """
from wasmgrid.sdk import progress
progress.DELAY_S = progress.EVERY_S = 0.0
with progress.drawn(4, None) as shown:
    for each in range(4):
        shown.add(1)
        print("result", each)
"""


def on_a_terminal(stdout: Any) -> str:
    """What the program writes to the terminal that is its stderr."""
    ours, theirs = pty.openpty()
    try:
        out = theirs if stdout is None else stdout
        with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=out, stderr=theirs, stdin=theirs) as process:
            os.close(theirs)
            said = b""
            while select.select([ours], [], [], 60)[0]:
                try:
                    chunk = os.read(ours, 65536)
                except OSError:  # the other side is closed
                    break
                if not chunk:
                    break
                said += chunk
        assert process.returncode == 0
        return said.decode()
    finally:
        os.close(ours)


def test_what_is_printed_into_a_file_stays_there(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as out:
        seen = on_a_terminal(out)
    assert (tmp_path / "out").read_text() == "".join(f"result {each}\n" for each in range(4))
    assert "4 of 4" in seen
    assert "result" not in seen


def test_what_is_printed_on_the_terminal_stands_above_the_bar() -> None:
    seen = on_a_terminal(None)
    assert "result 3" in seen
    assert "4 of 4" in seen
    assert seen.rstrip().endswith("\x1b[2K")  # it is gone at the end


def test_nothing_is_drawn_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    for wanted in (None, False):
        with progress.drawn(2, wanted) as shown:
            shown.add(2)
            shown.draw()
    assert capsys.readouterr() == ("", "")


def test_a_notebook_has_a_bar_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[Any] = []

    def display(bundle: Any, **_: Any) -> Any:
        said.append(bundle)
        return SimpleNamespace(update=lambda bundle, **_: said.append(bundle))

    ipython, shows = ModuleType("IPython"), ModuleType("IPython.display")
    ipython.get_ipython = lambda: SimpleNamespace(kernel=object())  # type: ignore[attr-defined]
    shows.display = display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", shows)
    monkeypatch.setattr(progress, "DELAY_S", 0.0)
    with progress.drawn(5, None) as shown:
        shown.add(2)
        shown.add(3)
    assert said[-1]["text/html"].startswith("<progress max='5' value='5'></progress> 5 of 5")
    assert len(said) == 2
