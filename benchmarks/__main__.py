"""`python -m benchmarks [NAME...]`: run the named benchmarks, or all, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys

NAMES = ("startup", "memory", "single_job", "runner", "cancel", "fabric", "store", "leader", "scale")

if __name__ == "__main__":
    failed = [
        name
        for name in sys.argv[1:] or NAMES
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode
    ]
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)
