"""What a worker is asked to offer and cannot: refused at its start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from wasmgrid.core.errors import InvalidField
from wasmgrid.home import Home
from wasmgrid.worker.gpus import simulated
from wasmgrid.worker.options import WorkerOptions, check


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"cpus": 0.0}, "cpus cannot be 0, 0.001 is the least"),
        ({"cpus": float("nan")}, "cpus cannot be nan"),
        ({"cpus": 1e300}, "cpus cannot be 1e+300, 1000000 is the most"),
        ({"memory_mb": 1 << 63}, "1000000000 is the most"),
        ({"until_s": float("inf")}, "until cannot be inf"),
        ({"labels": {"a b": "c"}}, "'a b' is not an id"),
    ],
)
def test_what_cannot_be_offered_is_refused(tmp_path: Path, asked: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidField) as refused:
        check(WorkerOptions(home=Home(tmp_path), **asked))
    assert said in refused.value.message


def test_what_is_more_than_the_machine_has_may_be_stated(tmp_path: Path) -> None:
    check(WorkerOptions(home=Home(tmp_path), cpus=1000, memory_mb=1 << 20, slots=2000))


@pytest.mark.parametrize(
    "text", ["", ":5", "nonsense:x", "x:-1", "\x1b[31mH100", "H100:99999999999999999999", "x" * 64]
)
def test_a_gpu_that_is_none(text: str) -> None:
    with pytest.raises(InvalidField, match="is not a GPU"):
        simulated([text])
