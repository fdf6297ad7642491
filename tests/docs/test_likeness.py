"""What may differ between a page and what comes, and what may not."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.docs.blocks import blocks, indented, typed
from tests.docs.likeness import Ids, alike
from tests.docs.page import interactive

ENDED = "compile 3.91 s · queue 0 ms · run 0.2 ms · cpu 0.5 ms · worker w1"


@pytest.mark.parametrize(
    ("shown", "came"),
    [
        (f"job running, id: 9.\n5\n{ENDED}", "job running, id: 7.\n5\ncompile cached · run 12 s · cpu 1 s · worker w1"),
        ("5", "building: compiling on w1\n5\n"),
        ("a\n…\nd", "a\nb\nc\nd"),
        ("a … d", "a b c d"),
        ("a.wasm  22.7 KiB  sha256 ddce45…", "a.wasm 1,022 B sha256 ddce45506a951f2cfc6f0bfab26eaa86968d1ce3f3"),
        ("ID  NAME  AGE\n14  sleep  10s", "ID  NAME   AGE\n214  sleep  1m3s"),
        ("grid ready at http://127.0.0.1:3030 · pid 26619", "grid ready at http://127.0.0.1:33167 · pid 2"),
        ("see: wasmgrid logs 21 --index 2", "see: wasmgrid logs 4 --index 2"),
    ],
)  # fmt: skip
def test_times_sizes_and_numbers_of_jobs_may_differ(shown: str, came: str) -> None:
    assert alike(shown, came)


@pytest.mark.parametrize(
    ("shown", "came"),
    [
        ("5", "6"),
        ("5", "5\nmore"),
        ("5\nmore", "5"),
        ("hello from C, world!", "hello from C!"),
        (ENDED, ENDED.replace("w1", "w2")),
        ("(exit code 125)", "(exit code 2)"),
        ("see: wasmgrid logs 21 --index 2", "see: wasmgrid logs 21 --index 3"),
        ("a\n…\nd", "a\nb"),
        ("3 tasks: 3 succeeded", "3 tasks: 2 succeeded"),
    ],
)
def test_all_else_may_not(shown: str, came: str) -> None:
    assert not alike(shown, came)


def test_numbers_of_jobs_are_translated() -> None:
    ids = Ids()
    ids.learn("job running, id: 21.", "job running, id: 5.")
    assert (
        ids.here("wasmgrid logs 21 --index 21; sh repro-21/run.sh") == "wasmgrid logs 5 --index 21; sh repro-5/run.sh"
    )
    ids.learn("22", "6")
    assert ids.here("wasmgrid rerun 22") == "wasmgrid rerun 6"


def test_blocks_are_found_with_what_is_said_about_them(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    refusal = "# A\n<!-- grid: own -->\n\n<!-- not run: no -->\n```console\n$ ls\n```\n"
    file = '\n- in a list:\n\n    ```rust title="a.rs"\n    fn a() {}\n    ```\n'
    shell = "\n```console\n$ a \\\n  b\nc\n$ cat <<E\nx\nE\ny\n```\n```text\nz\n```\n\n    indented\n"
    page.write_text(refusal + file + shell)
    refused, rust, console, text = blocks(page)
    assert (refused.line, refused.notes) == (5, {"not run": "no"})
    assert (rust.title, rust.text) == ("a.rs", "fn a() {}\n")
    assert [(each.command, each.shown) for each in typed(console)] == [("a \\\n  b", ["c"]), ("cat <<E\nx\nE", ["y"])]
    assert text.follows
    assert indented(page) == ["    indented"]


def test_statements_are_told_from_what_they_print(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\n>>> for a in (1, 2):\n...     a\n1\n2\n>>> 3\n3\n```\n")
    assert list(interactive(blocks(page)[0])) == [(2, "for a in (1, 2):\n    a\n", "1\n2"), (6, "3\n", "3")]
