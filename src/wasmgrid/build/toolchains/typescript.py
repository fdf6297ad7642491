"""TypeScript: esbuild makes one JavaScript file of a project, which QuickJS runs. Types are taken out, not checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasmgrid.build import source_map
from wasmgrid.build.functions import scripts
from wasmgrid.build.toolchains.interpreted import tools
from wasmgrid.build.toolchains.interpreters import QUICKJS_CODE, QUICKJS_MODULE
from wasmgrid.build.toolchains.javascript import bundle
from wasmgrid.build.toolchains.language import Calls, Command, Component, Language, Unit, pattern
from wasmgrid.build.toolchains.pins import ESBUILD
from wasmgrid.core.bundle import Bundle

if TYPE_CHECKING:
    from wasmgrid.build.installation import Installation

_MADE = "main.js"


def _install(into: Installation) -> None:
    into.npm(ESBUILD)
    (into.root / "bin" / "esbuild").chmod(0o755)


ESBUILD_PACKAGE = Component(
    name="esbuild",
    version=ESBUILD.version,
    revision=ESBUILD.revision,
    install=_install,
    download_mb=5,
    disk_mb=12,
    install_s=3,
)


def _compile(unit: Unit) -> list[Command]:
    return [
        Command(
            argv=[
                f"{unit.tools['esbuild']}/bin/esbuild",
                f"./{unit.entry}",
                *("--bundle", "--format=esm", "--platform=neutral", "--target=es2023", "--charset=utf8"),
                *(
                    "--main-fields=module,main",
                    "--external:qjs:*",
                    "--sourcemap=inline",
                    "--sources-content=false",
                    "--log-level=warning",
                    "--color=false",
                ),
                f"--outfile={unit.out}/{_MADE}",
            ],
            produces=_MADE,
        )
    ]


def _check(unit: Unit) -> list[Command]:
    return _compile(unit)


def _bundle(unit: Unit, produced: bytes) -> Bundle:
    """One file, beside what of the project is no code: a program may read that."""
    code, lines = source_map.taken_out(produced)
    name = f"{unit.entry}.js"
    data = {path: text for path, text in unit.texts.items() if not path.endswith((".ts", ".mts", ".js", ".mjs"))}
    return bundle(name, {**data, name: code}, lines)


TYPESCRIPT = Language(
    name="typescript",
    suffixes=(".ts", ".mts"),
    aliases=("ts", "mts"),
    also=(".js", ".mjs"),
    looks_like=pattern(
        r"^(export )?(interface|enum|type) \w{1,100}( |<)|\b(const|let|var) \w{1,100}: \w"
        r"|^(export )?(async )?function \w{1,100}\([^)]{0,500}\w\??: \w"
    ),
    entries=("main", "src/main", "index", "src/index"),
    components=(ESBUILD_PACKAGE, QUICKJS_MODULE, QUICKJS_CODE),
    builtin=tools,
    compile=_compile,
    calls=Calls(wrap=scripts.offered, check=_check, why=scripts.why_javascript),
    bundle=_bundle,
    hello={"hello.ts": 'const text: string = "hello";\nconsole.log(text);\n'},
)
