"""Runs the programs of an installation so that none of them outlives this process, a kill -9 of it included.

The supervisor of `launch` stands between: when its parent dies it ends whatever the program started.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from wasmgrid.build import launch

_LAUNCHER = str(Path(launch.__file__).resolve())


def run(
    argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, text: str = ""
) -> subprocess.CompletedProcess[bytes]:
    """Run `argv` (its program by absolute path) to its end, with `text` as its stdin. The calling thread waits."""
    if sys.platform != "linux":
        return subprocess.run(argv, env=dict(env), cwd=cwd, input=text.encode(), capture_output=True, check=False)
    config = {
        "parent": os.getpid(),
        "cgroups": [],
        "stage": {},
        "drop": False,
        "supervise": True,
        "rlimits": {"RLIMIT_CORE": 0},
        "landlock": None,
        "argv": list(argv),
        "env": dict(env),
        "cwd": str(cwd),
        "stdin": text,
    }
    return subprocess.run(
        [sys.executable, "-I", "-S", _LAUNCHER], input=json.dumps(config).encode(), capture_output=True, check=False
    )
