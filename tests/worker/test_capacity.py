"""What a worker offers of its machine."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from wasmgrid.core.limits import DEFAULT_DISK_MB, DEFAULT_MEMORY_MB, MB
from wasmgrid.core.worker import check_labels
from wasmgrid.worker import capacity


def test_memory_and_scratch_in_memory_never_exceed_the_machine(tmp_path: Path) -> None:
    offered = capacity.probe(tmp_path / "not/yet/there", sized_scratch=True, reserved_mb=512)
    assert offered.memory_mb + offered.disk_mb <= psutil.virtual_memory().total // MB - 512
    assert offered.memory_mb > offered.disk_mb > 0
    assert offered.gpus == 0


@pytest.mark.parametrize("gigabytes", [4, 8, 16, 256])
def test_default_tasks_fit_on_a_small_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gigabytes: int) -> None:
    monkeypatch.setattr(capacity, "memory_bytes", lambda: gigabytes << 30)
    offered = capacity.probe(tmp_path, sized_scratch=True, reserved_mb=1024)
    assert offered.memory_mb >= DEFAULT_MEMORY_MB
    assert offered.disk_mb >= DEFAULT_DISK_MB
    assert offered.memory_mb + offered.disk_mb == gigabytes * 1024 - 1024


def test_scratch_on_disk_is_bound_by_what_is_free(tmp_path: Path) -> None:
    offered = capacity.probe(tmp_path, sized_scratch=False)
    assert 0 < offered.disk_mb <= psutil.disk_usage(str(tmp_path)).free // MB


def test_cpus_and_slots(tmp_path: Path) -> None:
    offered = capacity.probe(tmp_path, sized_scratch=True)
    assert 0 < offered.milli_cpus <= (psutil.cpu_count() or 1) * 1000
    assert offered.slots >= 2
    assert offered.slots == max(2, offered.milli_cpus * 2 // 1000)


@pytest.mark.parametrize(
    ("files", "milli"),
    [
        ({"cpu.max": "150000 100000"}, 1500),
        ({"cpu.max": "max 100000"}, None),
        ({}, None),
    ],
)
def test_a_quota_of_control_groups_v2_counts(tmp_path: Path, files: dict[str, str], milli: int | None) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert capacity._v2_quota(tmp_path / "cpu.max") == milli


@pytest.mark.parametrize(("quota", "milli"), [("50000", 500), ("-1", None)])
def test_a_quota_of_control_groups_v1_counts(tmp_path: Path, quota: str, milli: int | None) -> None:
    (tmp_path / "cpu.cfs_quota_us").write_text(quota)
    (tmp_path / "cpu.cfs_period_us").write_text("100000")
    assert capacity._v1_quota(tmp_path) == milli


@pytest.mark.parametrize(("hostname", "host"), [("node-7", "node-7"), ("node-7.example.org", "node-7"), ("a b", None)])
def test_labels_are_ids(hostname: str, host: str | None) -> None:
    labels = capacity.labels(hostname)
    check_labels(labels, field="labels")
    assert set(labels) == {"arch", "os"} | ({"host"} if host else set())
    assert labels.get("host") == host
