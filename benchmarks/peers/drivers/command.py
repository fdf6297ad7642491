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
        last = ""

        def run(work: Work) -> int:
            nonlocal last
            compiled = Path(folder) / f"{Path(work.module).stem}.cwasm"
            if not compiled.exists():
                subprocess.run([wasmtime, "compile", "-o", str(compiled), work.module], check=True)
            outputs = Path(folder) / "out"
            outputs.mkdir(exist_ok=True)
            last = f"{shlex.quote(wasmtime)} run --allow-precompiled {compiled}"
            each_on_a_core(work, f"{last} {{}} > {outputs}/{{}}")
            return good(work, [(outputs / str(index)).read_bytes() for index in work.indexes])

        serve(f"{version.strip()}, a process each", run, lambda: peak_mb(f"{last} 0"))


def peak_mb(line: str) -> float | None:
    """The most memory that any process of a shell's line held; None where there is no GNU time to ask."""
    asked = ["sh", "-c", f"exec time -f %M {line}"]
    said = subprocess.run(asked, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False).stderr
    words = said.split()
    return int(words[-1]) / 1024 if words and words[-1].isdigit() else None


def each_on_a_core(work: Work, line: str) -> None:
    """Run a shell's line per task, `{}` being its number."""
    numbers = "".join(f"{index}\n" for index in work.indexes)
    argv = ["xargs", "-P", str(PROCESSES), "-I", "{}", "sh", "-c", line]
    subprocess.run(argv, input=numbers, text=True, check=False, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main(sys.argv[1])
