"""What the interpreted languages share: their interpreter runs in the sandbox, natively held, to judge a project."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from wasmgrid import codegen
from wasmgrid.build.functions.wrap import template
from wasmgrid.build.toolchains.interpreters import CODE
from wasmgrid.build.toolchains.language import Command, Unit

_RESERVES_MB = 12 * 1024  # of address space: the runtime reserves what a guest's memory could grow to


def tools() -> Mapping[str, str]:
    """The Python that runs wasmgrid, and its wasmtime."""
    spec = importlib.util.find_spec("wasmtime")
    assert spec is not None and spec.origin is not None  # noqa: S101, PT018 - a dependency of this package
    return {"host-python": sys.base_prefix, "host-wasmtime": str(Path(spec.origin).parent)}


def judge(unit: Unit, code: str, argv: Sequence[str], texts: Mapping[str, str] | None = None) -> Command:
    """Run the interpreter of the component `code` with `argv`: it sees the project in /src and `texts` in /check."""
    python = unit.tools["host-python"]
    program = f"{python}/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    request = json.dumps({"argv": list(argv), "files": dict(texts or {})})
    interpret = files(codegen.__package__).joinpath("codegen.py").read_text() + template("interpret.py").decode()
    where = [unit.tools["host-wasmtime"], f"{unit.tools[code]}/{CODE}", unit.src, unit.temp]
    return Command(
        argv=[program, "-I", "-S", "-B", "-c", interpret, *where, request],
        env={"LD_LIBRARY_PATH": f"{python}/lib"},
        produces="",
        reserves_mb=_RESERVES_MB,
    )
