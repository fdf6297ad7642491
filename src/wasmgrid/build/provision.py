"""Toolchains in a directory of our own: which are there, and how the missing ones get there.

    $WASMGRID_TOOLCHAINS/
      zig-0.17.1-1a2b3c4d5e6f/      a component: its content, and wasmgrid.json that says what it is
      .partial/NAME/                one that is being installed; an interrupted installation goes on from there
      .locks/NAME                   held by whoever installs it, in whichever process
      .probes.json                  which of the user's own toolchains compiled hello, and that it ran

Components are read-only once they are there and are shared by all grids of a user.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from wasmgrid.build.identity import recipe_digest
from wasmgrid.build.installation import Installation
from wasmgrid.build.installing import InstallRun, Progress, Told, closure
from wasmgrid.build.launch import NOBODY
from wasmgrid.build.toolchains.language import Component, HostTool, Language
from wasmgrid.core.digest import sha256_hex
from wasmgrid.core.errors import ToolchainUnavailable, WasmgridError
from wasmgrid.core.worker import Toolchain

VARIABLE = "WASMGRID_TOOLCHAINS"
_WHOLE = 0.9  # of a component's bytes: file systems do not count alike
_MANIFEST = "wasmgrid.json"
_LOCK_POLL_S = 0.2

Probe = Callable[[Language, HostTool], bool]  # whether a user's own toolchain compiles hello, and that runs


def default_directory() -> Path:
    """`$WASMGRID_TOOLCHAINS`, or ~/.cache/wasmgrid/toolchains."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named)
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "wasmgrid" / "toolchains"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What an installed component is. `revision` is the actual one: an archive may have had newer packages."""

    name: str
    version: str
    revision: str
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Ready:
    """A language's toolchain that is there: `tools` are its components' directories by name."""

    identity: str
    version: str
    tools: dict[str, Path]


class Provision:
    """The toolchains below `directory`. Safe to use from several threads and processes at once."""

    def __init__(self, directory: Path, *, probe: Probe | None = None) -> None:
        self.directory = directory
        self._probe = probe
        self._hosts: dict[str, HostTool | None] = {}
        self._hosts_lock = threading.Lock()

    def ready(self, language: Language) -> Ready | None:
        """The toolchain of `language`, the user's own where it has been proven, or None where it is to be installed."""
        host = self._proven_host(language)
        if host is not None:
            found = self._found(host.components)
            if found is not None:
                tools = {**{name: Path(path) for name, path in host.tools.items()}, **self._paths(host.components)}
                return Ready(identity=_identity(language, host.revision, found), version=host.version, tools=tools)
        return self._ready(language, language.components) or (
            self._ready(language, language.fallback) if language.fallback else None
        )

    def _ready(self, language: Language, components: Sequence[Component]) -> Ready | None:
        found = self._found(components)
        if found is None:
            return None
        builtin = {name: Path(path) for name, path in language.builtin().items()}
        return Ready(
            identity=_identity(language, "", found),
            version=_version(language, found),
            tools={**builtin, **self._paths(components)},
        )

    def toolchain(self, language: Language) -> Toolchain:
        """What a worker says of a language: ready, or what its installation would cost."""
        ready = self.ready(language)
        if ready is not None:
            return Toolchain(language=language.name, identity=ready.identity, version=ready.version, ready=True)
        missing = self.missing([language])
        expected = [
            Manifest(name=each.name, version=each.version, revision=each.revision, bytes=0)
            for each in closure(language.components)
        ]
        return Toolchain(
            language=language.name,
            identity=_identity(language, "", expected),
            version=_version(language, expected),
            ready=False,
            download_mb=sum(each.download_mb for each in missing),
            install_s=sum(each.install_s for each in missing),
        )

    def missing(self, languages: Sequence[Language]) -> list[Component]:
        """The components that installing `languages` would install."""
        wanted = closure([each for language in languages for each in language.components])
        return [each for each in wanted if self._manifest(each) is None]

    def path(self, component: Component) -> Path:
        """Where a component is, or will be."""
        return self.directory / _directory_name(component)

    def install(self, languages: Sequence[Language], progress: Progress | None = None) -> dict[str, WasmgridError]:
        """Install what `languages` miss, side by side; language -> why it cannot be had, for those that cannot.

        Blocks. May be called by several processes at once: one installs a component, the others wait for it. After an
        interruption it goes on where it was.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        failed: dict[str, WasmgridError] = {}
        wanted: list[tuple[Language, Sequence[Component]]] = []
        for language in languages:
            host = self._host(language)
            proven = host is not None and self._prove(language, host)
            wanted.append((language, host.components if host is not None and proven else language.components))
        with InstallRun(self._install, progress) as run:
            for _, components in wanted:
                run.start(components)
            for language, components in wanted:
                error = run.failure(components)
                if error is not None and (not language.fallback or run.failure(language.fallback) is not None):
                    failed[language.name] = error
        return failed

    def size(self, tool: Path) -> int:
        """Bytes on disk of a component (a path out of `Ready.tools`); 0 for what is not ours."""
        for directory in (tool, tool.parent):
            with contextlib.suppress(OSError, msgspec.DecodeError):
                return msgspec.json.decode((directory / _MANIFEST).read_bytes(), type=Manifest).bytes
        return 0

    def _host(self, language: Language) -> HostTool | None:
        with self._hosts_lock:
            if language.name not in self._hosts:
                self._hosts[language.name] = language.host() if self._probe is not None else None
            return self._hosts[language.name]

    def _proven_host(self, language: Language) -> HostTool | None:
        host = self._host(language)
        return host if host is not None and self._probes().get(_probe_key(language, host)) is True else None

    def _prove(self, language: Language, host: HostTool) -> bool:
        """Compile and run hello with a user's own toolchain, once per version of it."""
        key = _probe_key(language, host)
        known = self._probes().get(key)
        if known is None and self._probe is not None:
            known = self._probe(language, host)
            with self.locked("probes"):
                _write(self.directory / ".probes.json", json.dumps({**self._probes(), key: known}).encode())
        return bool(known)

    def _probes(self) -> dict[str, bool]:
        try:
            return msgspec.json.decode((self.directory / ".probes.json").read_bytes(), type=dict[str, bool])
        except (OSError, msgspec.DecodeError):
            return {}

    def _found(self, components: Sequence[Component]) -> list[Manifest] | None:
        manifests = [self._manifest(each) for each in closure(components)]
        return None if None in manifests else [each for each in manifests if each is not None]

    def _paths(self, components: Sequence[Component]) -> dict[str, Path]:
        return {each.name: self.path(each) / each.writable for each in closure(components)}

    def _manifest(self, component: Component) -> Manifest | None:
        try:
            return msgspec.json.decode((self.path(component) / _MANIFEST).read_bytes(), type=Manifest)
        except (OSError, msgspec.DecodeError):
            return None

    def _install(self, component: Component, tool: Callable[[str], Path], told: Told) -> Path:
        """Install one component unless it is there; its needs come through `tool`."""
        name = _directory_name(component)
        with self.locked(name, waiting=lambda: told(f"{component.name}: another installation is at it", 0.0)):
            if self._manifest(component) is None:
                into = Installation(component, self.directory / ".partial" / name, tool=tool, told=told)
                try:
                    component.install(into)
                    self._finish(component, into)
                except (OSError, ValueError, StopIteration) as error:  # no space; an unforeseen layout
                    raise ToolchainUnavailable(f"installing {component.name} failed: {error}") from error
        return self.path(component)

    def _finish(self, component: Component, into: Installation) -> None:
        size = _bytes_on_disk(into.root)
        manifest = Manifest(name=component.name, version=into.version, revision=into.revision, bytes=size)
        _write(into.root / _MANIFEST, msgspec.json.encode(manifest))
        _seal(into.root, component)
        into.root.rename(self.path(component))
        shutil.rmtree(into.root.parent, ignore_errors=True)

    @contextlib.contextmanager
    def locked(self, name: str, waiting: Callable[[], None] | None = None) -> Iterator[None]:
        """Hold a lock that ends with this process, whatever ends it."""
        path = self.directory / ".locks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if waiting is not None:
                        waiting()
                    time.sleep(_LOCK_POLL_S)
            yield


def is_damaged(tool: Path) -> bool:
    """Whether files of a component (a path out of `Ready.tools`) are gone since it was installed; no for others."""
    for root in (tool, tool.parent):
        try:
            manifest = msgspec.json.decode((root / _MANIFEST).read_bytes(), type=Manifest)
            there = _bytes_on_disk(root)
        except (OSError, msgspec.DecodeError):
            continue
        return there < manifest.bytes * _WHOLE
    return False


def _bytes_on_disk(root: Path) -> int:
    return sum(path.lstat().st_blocks * 512 for path in root.rglob("*"))


def _seal(root: Path, component: Component) -> None:
    """Give what is `writable` to the user that compilers run as, who cannot get there but by what a sandbox shows.

    An overlay asks the permissions of what it covers, and can only copy what belongs to a user of its namespace.
    """
    if component.writable:
        root.chmod(0o700)
        if os.geteuid() == 0:
            for path in [root / component.writable, *(root / component.writable).rglob("*")]:
                os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


def _directory_name(component: Component) -> str:
    return f"{component.name}-{component.version}-{sha256_hex(component.revision.encode())[:12]}"


def _version(language: Language, found: Sequence[Manifest]) -> str:
    """The version of the component that the language is named after, or of the first that it has."""
    named = [each.version for each in found if each.name.startswith(language.name)]
    return (named or [each.version for each in found] or ["1"])[0]


def _identity(language: Language, host_revision: str, found: Sequence[Manifest]) -> str:
    """Changes whenever the same source might give another module: with any component, and with how we call it."""
    parts = [recipe_digest(language), host_revision, *(f"{each.name}={each.revision}" for each in found)]
    version = _version(language, found).replace(".", "_")
    return f"{language.name}-{version}-{sha256_hex(json.dumps(parts).encode())[:12]}"


def _probe_key(language: Language, host: HostTool) -> str:
    return f"{language.name} {recipe_digest(language)} {host.revision}"


def _write(path: Path, data: bytes) -> None:
    partial = path.with_name(path.name + ".new")
    partial.write_bytes(data)
    partial.replace(path)
