"""Ids become parts of subjects and paths, so little may be one."""

from __future__ import annotations

import pytest

from wasmgrid.core.errors import InvalidField
from wasmgrid.core.worker import Gpu, check_id, check_labels, check_worker_id, gpu_matches


@pytest.mark.parametrize("text", ["w1", "arm64", "A-b_9", "x" * 63])
def test_ids(text: str) -> None:
    assert check_id(text, field="id") == text


@pytest.mark.parametrize("text", ["", "*", ">", "a.b", "a b", "-a", "a/b", "..", "ä", "x" * 64, "a\n"])
def test_hostile_52_what_a_subject_or_a_path_would_read_otherwise_is_refused(text: str) -> None:
    with pytest.raises(InvalidField) as caught:
        check_id(text, field="worker_id")
    assert caught.value.field == "worker_id"
    with pytest.raises(InvalidField):
        check_labels({text: "x"}, field="labels")
    with pytest.raises(InvalidField, match="is not an id"):
        check_labels({"region": text}, field="labels")


@pytest.mark.parametrize("text", ["w1", "gpu-host", "gpu-host:2", "gpu-host:9999"])
def test_ids_of_workers(text: str) -> None:
    assert check_worker_id(text, field="id") == text


@pytest.mark.parametrize("text", ["", "a:", "a:0", "a:1", "a:02", "a:10000", "a:b", "a:2:3", ":2", "a.2", "a:*"])
def test_hostile_52_what_is_no_id_of_a_worker_is_refused(text: str) -> None:
    with pytest.raises(InvalidField):
        check_worker_id(text, field="worker_id")


@pytest.mark.parametrize("wanted", [None, "H100", "h100", "nvidia h100", "H100 80GB", "H100-80GB", "HBM3"])
def test_a_gpu_is_known_by_any_words_of_its_name(wanted: str | None) -> None:
    assert gpu_matches(Gpu(index=0, model="NVIDIA H100 80GB HBM3", memory_mb=81559), model=wanted, memory_mb=80000)


@pytest.mark.parametrize(
    ("wanted", "memory_mb"), [("H10", 0), ("A100", 0), ("H100 96GB", 0), (None, 81560), ("", 90000)]
)
def test_a_gpu_of_another_name_or_too_small_is_no_match(wanted: str | None, memory_mb: int) -> None:
    gpu = Gpu(index=0, model="NVIDIA H100 80GB HBM3", memory_mb=81559)
    assert not gpu_matches(gpu, model=wanted, memory_mb=memory_mb)
