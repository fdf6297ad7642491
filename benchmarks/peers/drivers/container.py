"""A container per task: the same program compiled natively and statically, alone in a root file system.

Namespaces for everything and a memory limit, as the runtime's own template has them; no image is pulled, no layer
mounted and no daemon asked, so a task pays for a container and nothing else.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.peers.drivers.command import each_on_a_core, peak_mb
from benchmarks.peers.drivers.driver import Work, good, serve

_MEMORY_BYTES = 64 << 20


class Bundles:
    """A root file system per program, and a configuration per task."""

    def __init__(self, runtime: str, folder: Path) -> None:
        self._runtime, self._folder = runtime, folder
        (folder / "out").mkdir()
        (folder / "state").mkdir()
        self._template = self._spec(folder)
        self._again = ""

    def run(self, work: Work) -> int:
        """All tasks; how many printed what they had to."""
        bundles = self._root(work).with_name("bundles")
        for index in work.indexes:  # before the clock would be fairer still; it is 0.1 ms of some ten
            self._configure(bundles / str(index), self._root(work), index)
        runtime, root, out = shlex.quote(self._runtime), self._folder / "state", self._folder / "out"
        name = f"wasmgrid-bench-{os.getpid()}-{{}}"
        run = f"{runtime} --root {root} run --bundle {bundles}"
        each_on_a_core(work, f"{run}/{{}} {name} > {out}/{{}} 2> {out}/{{}}.errors")
        self._again = f"{run}/{work.first} wasmgrid-bench-{os.getpid()}-again"
        right = good(work, [(out / str(index)).read_bytes() for index in work.indexes])
        if right < work.count:
            print((out / f"{work.first}.errors").read_text(), file=sys.stderr)
        return right

    def weigh(self) -> float | None:
        """The most that a process of one more container holds: the runtime's own, or the program's."""
        return peak_mb(self._again)

    def _spec(self, folder: Path) -> dict[str, Any]:
        subprocess.run([self._runtime, "spec"], cwd=folder, check=True)
        spec: dict[str, Any] = json.loads((folder / "config.json").read_text())
        spec["process"]["terminal"] = False
        spec["linux"].setdefault("resources", {})["memory"] = {"limit": _MEMORY_BYTES}
        return spec

    def _root(self, work: Work) -> Path:
        root = self._folder / Path(work.native).name / "rootfs"
        if not root.exists():
            root.mkdir(parents=True)
            shutil.copy(work.native, root / "main")
            for mount in self._template["mounts"]:  # made ahead: of containers that start at once one would fail
                (root / mount["destination"].lstrip("/")).mkdir(parents=True, exist_ok=True)
        return root

    def _configure(self, bundle: Path, root: Path, index: int) -> None:
        self._template["root"]["path"] = str(root)
        self._template["process"]["args"] = ["/main", str(index)]
        bundle.mkdir(parents=True)
        (bundle / "config.json").write_text(json.dumps(self._template))


def main(runtime: str) -> None:
    """Run what comes."""
    version = subprocess.run([runtime, "--version"], capture_output=True, text=True, check=True).stdout
    with tempfile.TemporaryDirectory(prefix="wasmgrid-bench-") as folder:
        bundles = Bundles(runtime, Path(folder))
        serve(f"{version.splitlines()[0]}, a container each", bundles.run, bundles.weigh)


if __name__ == "__main__":
    main(sys.argv[1])
