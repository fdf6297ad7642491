"""`python -m benchmarks [NAME...]`: run the named benchmarks, or all, each in a process of its own.

`python -m benchmarks render` puts what was measured last into the documents.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from benchmarks import cputime

PARTS = ("startup", "memory", "single_job", "runner", "cancel", "fabric", "store", "leader", "scale")
FIGURES = ("latency", "clients", "arrays", "calls", "million", "growth", "stages", "before", "peers", "runtimes")
TIMEOUT_S = 1800.0


def run(name: str) -> bool:
    """Whether it ended well; whatever it started is ended with it."""
    process = subprocess.Popen([sys.executable, "-m", f"benchmarks.{name}"], start_new_session=True)
    try:
        return process.wait(TIMEOUT_S) == 0
    except subprocess.TimeoutExpired:
        print(f"{name}: no end within {TIMEOUT_S:.0f} s", file=sys.stderr)
        return False
    finally:
        if process.poll() is None:
            cputime.kill(cputime.tree(process.pid))
            process.wait()


def main(names: list[str]) -> int:
    """Run all; an exit code, and who failed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    failed = [name for name in names or [*PARTS, *FIGURES] if not run(name)]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return os.EX_SOFTWARE if failed else os.EX_OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
