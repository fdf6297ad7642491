"""Would the simulator notice? Bugs are planted in copies of the code, and each is caught within the seeds it states.

That the code as it is passes these seeds is what `test_seeds_lower.py` shows.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.simulation.block import BLOCK
from tests.simulation.patches import BUGS, PACKAGE, plant, read

NAMES = sorted(path.stem for path in BUGS.glob("*.patch"))
ROOT = Path(__file__).parents[2]


def test_there_are_enough_bugs_in_the_conversation_and_in_the_scheduler() -> None:
    paths = [edit.path for name in NAMES for edit in read(name).edits]
    assert len(NAMES) >= 28
    assert sum(path.startswith("protocol/") for path in paths) >= 18
    assert any(path.startswith("scheduling/") for path in paths)
    assert all(read(name).within <= 5 * BLOCK for name in NAMES), "these seeds are known to hold without the bug"


@pytest.mark.parametrize("name", NAMES)
def test_the_simulator_catches(name: str, tmp_path: Path) -> None:
    patch = read(name)
    plant(patch, tmp_path)
    command = [
        sys.executable,
        "-m",
        "tests.simulation",
        "--quiet",
        "--until-failure",
        "1",
        "--count",
        str(patch.within),
    ]
    ran = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ran.returncode == 1, (
        f"not caught within {patch.within} seeds: {patch.words}\n{ran.stdout[-500:]}{ran.stderr}"
    )
    assert "Violation" in ran.stdout or "Error" in ran.stdout, ran.stdout


def test_a_planted_bug_is_what_runs(tmp_path: Path) -> None:
    """Else nothing above would mean anything."""
    plant(read(NAMES[0]), tmp_path)
    command = [sys.executable, "-c", "import wasmgrid.protocol as it; print(it.__file__)"]
    where = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=True, timeout=60
    )
    assert Path(where.stdout.strip()).is_relative_to(tmp_path)
    assert not Path(where.stdout.strip()).is_relative_to(PACKAGE)
