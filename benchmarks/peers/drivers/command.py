"""The wasmtime command, a process per task, as many at a time as there are cores: `seq | xargs -P`.

The module is compiled ahead, so that a task pays for the start of a process and not for the compiler.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.peers.drivers.driver import PROCESSES, Work, good, serve


def main(wasmtime: str) -> None:
    """Run what comes."""
    version = subprocess.run([wasmtime, "--version"], capture_output=True, text=True, check=True).stdout
    with tempfile.TemporaryDirectory(prefix="wasmgrid-bench-") as folder:

        def run(work: Work) -> int:
            compiled = Path(folder) / f"{Path(work.module).stem}.cwasm"
            if not compiled.exists():
                subprocess.run([wasmtime, "compile", "-o", str(compiled), work.module], check=True)
            outputs = Path(folder) / "out"
            outputs.mkdir(exist_ok=True)
            line = f"{shlex.quote(wasmtime)} run --allow-precompiled {compiled} {{}} > {outputs}/{{}}"
            each_on_a_core(work, line)
            return good(work, [(outputs / str(index)).read_bytes() for index in work.indexes])

        serve(f"{version.strip()}, a process each", run)


def each_on_a_core(work: Work, line: str) -> None:
    """Run a shell's line per task, `{}` being its number."""
    numbers = "".join(f"{index}\n" for index in work.indexes)
    argv = ["xargs", "-P", str(PROCESSES), "-I", "{}", "sh", "-c", line]
    subprocess.run(argv, input=numbers, text=True, check=False, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main(sys.argv[1])
