"""What the grid knows of a language: one value, made in that language's file and read by everything else here.

A language is compiled by commands that run in a sandbox. Where its toolchain and the project are differs from place to
place (fixed names inside a sandbox, real paths without one), so commands are made from a `Unit`, which knows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wasmgrid.build.functions.wrap import Wanted
from wasmgrid.core.bundle import Bundle

if TYPE_CHECKING:
    from wasmgrid.build.installation import Installation

MODULE_NAME = "module.wasm"


@dataclass(frozen=True, kw_only=True)
class Flag:
    """One kind of build flag that is allowed: the whole argument must match `pattern`; `shown` tells a person."""

    pattern: str
    shown: str

    def allows(self, argument: str) -> bool:
        """Whether `argument` is a flag of this kind."""
        return re.fullmatch(self.pattern, argument) is not None


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One thing to compile. All directories are as the compiler sees them.

    `tools` maps a component's name to its directory, `src` holds `files` (and is the working directory), `out` and
    `temp` may be written; the module must end up as `out/module.wasm`. `texts` gives a file's bytes. `function`: the
    one that the module offers for calls (the project is wrapped then), instead of being a program.
    """

    entry: str
    files: Sequence[str]
    texts: Mapping[str, bytes]
    flags: Sequence[str]
    function: str | None = None
    tools: Mapping[str, str]
    src: str
    out: str
    temp: str

    @property
    def module(self) -> str:
        """Where the module must end up."""
        return f"{self.out}/{MODULE_NAME}"


@dataclass(frozen=True, kw_only=True)
class Command:
    """One compiler run: an argument list (the program by absolute path) and variables beside the sandbox's few.

    `produces` is where the module is, below the work directory's `out`, after the last command; of an interpreted
    language what the bundle is made with, or nothing. `reserves_mb` is address space that it takes beside what it uses.
    """

    argv: list[str]
    env: Mapping[str, str] = field(default_factory=dict)
    produces: str = MODULE_NAME
    reserves_mb: int = 0


@dataclass(frozen=True, kw_only=True)
class Component:
    """A piece of a toolchain with a directory of its own, which several languages may share.

    `revision` is everything that decides what it makes (versions, digests, our own recipe): it names the directory, so
    that a change of pins installs beside what running builds use. `needs` are installed before it. `writable` is a
    directory of it that compilers write to (each to an overlay of its own); empty for one that is read-only as a whole.
    """

    name: str
    version: str
    revision: str
    install: Callable[[Installation], None]
    download_mb: int
    disk_mb: int
    install_s: int
    needs: tuple[Component, ...] = ()
    writable: str = ""


@dataclass(frozen=True, kw_only=True)
class HostTool:
    """A user's own toolchain that could do: `tools` are directories outside ours, `revision` names exactly this one.

    It is used once it has compiled hello and that has run. `components` are what we add to it.
    """

    version: str
    revision: str
    tools: Mapping[str, str]
    components: tuple[Component, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Calls:
    """How a language offers a function for calls (`build.functions`).

    `wrap` gives the project's files with what is generated. `check` are commands that judge a project as it came, and
    make nothing. `why` tells, of a project that is itself in order, why the wrapped one was refused, out of what the
    compiler said. `typed` and `ask`: where the compiler must be asked for the types first, the files and the commands
    for it; `Wanted.types` then is what they said. `own`: what of the words about the
    wrapped project is about the user's files, where only that one is looked at wholly.
    """

    wrap: Callable[[Wanted], Mapping[str, bytes]]
    why: Callable[[Wanted, str], str]
    check: Callable[[Unit], list[Command]] = lambda _unit: []
    typed: Callable[[Wanted], Mapping[str, bytes]] | None = None
    ask: Callable[[Unit], list[Command]] | None = None
    own: Callable[[str], str] = lambda _said: ""


@dataclass(frozen=True, kw_only=True)
class Language:
    """How one language becomes WebAssembly.

    `looks_like` judges a text without a name (source from stdin), `main` whether a file is a program's main one,
    among several, and `entries` are what one is called, without its suffix, best first. `also` are suffixes of
    other languages' files that its projects may hold. `manifest` is the file whose presence makes a directory this
    language's project. `overlays` are components that the compiler must be able to write to, without changing them.
    `noise` matches diagnostics that are about our way of calling the compiler, not about the source. `fallback` is
    installed where `components` cannot be had. `host` finds the user's own toolchain, `builtin` what came with this
    package. `hello` is the program that a toolchain must compile and that must print `hello_stdout` before it is
    used. `calls`: how it offers functions; without it, what a module exports is called as it is. `bundle`: an
    interpreted language's commands only judge or translate the project, and this makes its module, out of that and
    what the last command produced.
    """

    name: str
    suffixes: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    manifest: str | None = None
    looks_like: Callable[[str], bool] = lambda _text: False
    main: Callable[[str], bool] = lambda _text: True
    entries: tuple[str, ...] = ("main", "src/main")
    flags: tuple[Flag, ...] = ()
    components: tuple[Component, ...] = ()
    fallback: tuple[Component, ...] = ()
    compile: Callable[[Unit], list[Command]]
    overlays: tuple[str, ...] = ()
    noise: str | None = None
    host: Callable[[], HostTool | None] = lambda: None
    builtin: Callable[[], Mapping[str, str]] = dict
    calls: Calls | None = None
    bundle: Callable[[Unit, bytes], Bundle] | None = None
    hello: Mapping[str, str]
    hello_stdout: str = "hello\n"


def pattern(regex: str) -> Callable[[str], bool]:
    """A judge of texts: whether `regex` occurs in them (multi-line). Some are hostile: repeat within bounds only."""
    compiled = re.compile(regex, re.MULTILINE)
    return lambda text: compiled.search(text) is not None
