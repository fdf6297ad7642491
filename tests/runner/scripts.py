"""Programs in Python and JavaScript as bundles, without a build, and a bench whose cache knows their interpreters."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.runner.bench import Bench

from wasmgrid.build.builder import Builder
from wasmgrid.build.functions import scripts
from wasmgrid.build.functions.wrap import Wanted
from wasmgrid.build.provision import default_directory
from wasmgrid.build.toolchains import LANGUAGES, infer
from wasmgrid.build.toolchains.language import Unit
from wasmgrid.core import bundle
from wasmgrid.core.interpreters import PYTHON, QUICKJS
from wasmgrid.worker.interpreters import Interpreters


def know_interpreters(bench: Bench) -> None:
    """Give its cache those of this machine's toolchains; skips, loudly, where they are not installed."""
    builder = Builder(default_directory(), Path("/nonexistent"))
    for known in (PYTHON, QUICKJS):
        if builder.interpreter(known.sha256).code is None:
            pytest.skip("no interpreters here: wasmgrid toolchain install python javascript")
    bench.cache.interpreters = Interpreters(builder.interpreter, None)  # type: ignore[arg-type] # nothing to fetch


def made(files: dict[str, str], *, function: str | None = None, entry: str | None = None) -> bytes:
    """The module of a project."""
    contents = {path: text.encode() for path, text in files.items()}
    language, main = infer(contents, None, entry)
    if function is not None and language == "javascript":
        contents = dict(scripts.offered(Wanted(files=contents, entry=main, flags=(), name=function)))
    make = LANGUAGES[language].bundle
    assert make is not None
    unit = Unit(
        entry=main,
        files=list(contents),
        texts=contents,
        flags=[],
        function=function,
        tools={},
        src="src",
        out="out",
        temp="temp",
    )
    return bundle.pack(make(unit, b""))
