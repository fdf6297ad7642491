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

from benchmarks.peers.drivers.command import each_on_a_core
from benchmarks.peers.drivers.driver import Work, good, serve

_MEMORY_BYTES = 64 << 20


class Bundles:
    """A root file system per program, and a configuration per task."""

    def __init__(self, runtime: str, folder: Path) -> None:
        self._runtime, self._folder = runtime, folder
        (folder / "out").mkdir()
        (folder / "state").mkdir()
        self._template = self._spec(folder)
        self._run = 0

    def run(self, work: Work) -> int:
        """All tasks; how many printed what they had to."""
        bundle = self._bundle(work)
        for index in work.indexes:  # before the clock would be fairer still; it is 30 us of some milliseconds
            self._configure(bundle / f"{index}.json", index)
        self._run += 1
        runtime, root, out = shlex.quote(self._runtime), self._folder / "state", self._folder / "out"
        name = f"wasmgrid-bench-{os.getpid()}-{self._run}-{{}}"
        line = f"{runtime} --root {root} run --bundle {bundle} --config {{}}.json {name} > {out}/{{}} 2>>{out}/errors"
        each_on_a_core(work, line)
        return good(work, [(out / str(index)).read_bytes() for index in work.indexes])

    def _spec(self, folder: Path) -> dict[str, Any]:
        subprocess.run([self._runtime, "spec"], cwd=folder, check=True)
        spec: dict[str, Any] = json.loads((folder / "config.json").read_text())
        spec["process"]["terminal"] = False
        spec["linux"].setdefault("resources", {})["memory"] = {"limit": _MEMORY_BYTES}
        return spec

    def _bundle(self, work: Work) -> Path:
        bundle = self._folder / Path(work.native).name
        if not bundle.exists():
            (bundle / "rootfs").mkdir(parents=True)
            shutil.copy(work.native, bundle / "rootfs" / "main")
        return bundle

    def _configure(self, path: Path, index: int) -> None:
        self._template["process"]["args"] = ["/main", str(index)]
        path.write_text(json.dumps(self._template))


def main(runtime: str) -> None:
    """Run what comes."""
    version = subprocess.run([runtime, "--version"], capture_output=True, text=True, check=True).stdout
    with tempfile.TemporaryDirectory(prefix="wasmgrid-bench-") as folder:
        serve(f"{version.splitlines()[0]}, a container each", Bundles(runtime, Path(folder)).run)


if __name__ == "__main__":
    main(sys.argv[1])
