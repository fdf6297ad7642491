"""Python: CPython as a WebAssembly module. What a build makes is a bundle: the project's files for that interpreter."""

from __future__ import annotations

from wasmgrid.build.functions import scripts
from wasmgrid.build.functions.wrap import template
from wasmgrid.build.toolchains.interpreted import judge, tools
from wasmgrid.build.toolchains.interpreters import PYTHON_CODE, PYTHON_MODULE
from wasmgrid.build.toolchains.language import Calls, Command, Language, Unit, pattern
from wasmgrid.core.bundle import ROOT, Bundle
from wasmgrid.core.interpreters import PYTHON

# No site (a grid's guest has no packages of its own), no bytecode written, UTF-8 whatever the locale says.
_PYTHON = ("python", "-S", "-s", "-B", "-X", "utf8", "-c")


def _compile(unit: Unit) -> list[Command]:
    argv = [*_PYTHON, template("check.py").decode(), unit.entry, unit.function or ""]
    return [judge(unit, "python-code", argv)]


def _bundle(unit: Unit, _produced: bytes) -> Bundle:
    entry = f"{ROOT}/{unit.entry}"
    return Bundle(
        interpreter=PYTHON.sha256,
        argv=[*_PYTHON, template("run.py").decode(), entry],
        serve_argv=[*_PYTHON, template("serve.py").decode(), entry],
        files=dict(unit.texts),
    )


PYTHON_LANGUAGE = Language(
    name="python",
    suffixes=(".py",),
    aliases=("py", "python3", "cpython"),
    looks_like=pattern(
        r"\A#![^\n]*\bpython|^(from [\w.]{1,100} )?import [\w.]{1,100}( as \w{1,100})?\s*$|^(async )?def \w{1,100}\("
        r"|^class \w{1,100}(\(.{0,200}\))?:|^(for|while|with|if|try)\b.{0,200}:\s*$|^print\(.{0,500}\)\s*$"
    ),
    main=pattern(r"^if __name__ == "),
    entries=("main", "src/main", "__main__"),
    components=(PYTHON_MODULE, PYTHON_CODE),
    builtin=tools,
    compile=_compile,
    calls=Calls(wrap=scripts.as_it_is, check=_compile, why=scripts.why_python),
    bundle=_bundle,
    hello={"hello.py": 'print("hello")\n'},
)
