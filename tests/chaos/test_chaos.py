"""Jobs flow through a grid of several servers while its parts are killed, stopped, restarted and cut off.

The long form is `make soak`; what is asserted is in `checker.py`.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.chaos.run import chaos

SEED = int(os.environ.get("CHAOS_SEED", "1"))


@pytest.mark.timeout(600)
def test_nothing_is_lost_or_doubled_whatever_dies(tmp_path: Path) -> None:
    report = chaos(tmp_path / "grid", seed=SEED, clients=6)
    assert report.wrong == []
    assert report.jobs.total() >= 20
    assert report.kills >= 10
