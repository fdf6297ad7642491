"""GPUs: found, stated, offered, named in labels and in a guest's environment."""

from __future__ import annotations

from types import SimpleNamespace

import pynvml
import pytest

from wasmgrid.core.errors import InvalidField
from wasmgrid.core.limits import MB
from wasmgrid.core.worker import Gpu, check_labels
from wasmgrid.worker import gpus

H100 = Gpu(index=0, model="NVIDIA H100 80GB HBM3", memory_mb=81559)
UUID = "GPU-5f3c1a2b-0000-0000-0000-000000000001"


def test_without_a_driver_there_are_none(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def no_driver() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", no_driver)
    assert gpus.found({}) == []
    assert capsys.readouterr() == ("", "")


class Driver:
    """NVML of a machine that has what this one has not: a whole GPU, one cut by MIG, and one that fell off the bus."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ended = 0
        for name, answer in {
            "nvmlInit": lambda: None,
            "nvmlShutdown": self._end,
            "nvmlDeviceGetCount": lambda: 4,
            "nvmlDeviceGetHandleByIndex": self._handle,
            "nvmlDeviceGetUUID": lambda index: f"GPU-{index}",
            "nvmlDeviceGetName": lambda index: f"NVIDIA X{index}",
            "nvmlDeviceGetMigMode": self._mig,
            "nvmlDeviceGetMemoryInfo": self._memory,
        }.items():
            monkeypatch.setattr(pynvml, name, answer)

    def _end(self) -> None:
        self.ended += 1

    def _handle(self, index: int) -> int:
        if index == 2:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        return index

    def _mig(self, index: int) -> list[int]:
        if index == 0:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return [int(index == 1), 0]

    def _memory(self, index: int) -> SimpleNamespace:
        if index == 3:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return SimpleNamespace(total=24564 * MB)


def test_whole_gpus_that_answer_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver(monkeypatch)
    whole, unified = Gpu(index=0, model="NVIDIA X0", memory_mb=24564), Gpu(index=3, model="NVIDIA X3", memory_mb=0)
    assert gpus.found({}) == [whole, unified]
    assert gpus.found({"CUDA_VISIBLE_DEVICES": "3,1"}) == [unified]
    assert gpus.found({"CUDA_VISIBLE_DEVICES": ""}) == []
    assert driver.ended == 3


@pytest.mark.parametrize(
    ("visible", "seen"),
    [(None, True), ("1", True), ("0, 1", True), ("11", False), ("-1", False), ("GPU-5f3c", True), ("GPU-6", False)],
)
def test_what_cuda_may_see_is_offered(visible: str | None, seen: bool) -> None:
    assert gpus.is_visible(visible, 1, UUID) is seen


def test_stated_ones_come_after_those_that_are_there() -> None:
    stated = gpus.simulated(["H100:81559", "NVIDIA A100-SXM4-40GB"])
    assert [(gpu.model, gpu.memory_mb) for gpu in stated] == [("H100", 81559), ("NVIDIA A100-SXM4-40GB", 16384)]
    every = gpus.offered([H100], stated, None)
    assert [(gpu.index, gpu.simulated) for gpu in every] == [(0, False), (1, True), (2, True)]
    assert gpus.offered([H100], stated, 1) == [H100]
    assert gpus.offered([H100], [], 0) == []
    with pytest.raises(InvalidField, match="1 GPUs, so 2 cannot"):
        gpus.offered([H100], [], 2)


@pytest.mark.parametrize("text", ["", ":8", "H100:", "H100:8G", "H100:-1", "x" * 64])
def test_a_gpu_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidField, match="MODEL:MEMORY_MB"):
        gpus.simulated([text])


def test_labels_are_ids_made_of_the_gpus() -> None:
    assert gpus.labels([]) == {}
    assert gpus.labels([H100, H100]) == {"gpu": "NVIDIA-H100-80GB-HBM3", "gpu_memory_mb": "81559"}
    mixed = gpus.labels([H100, *gpus.simulated(["(é) T4:15360"])])
    assert mixed == {"gpu": "mixed", "gpu_memory_mb": "15360"}
    check_labels(gpus.labels(gpus.simulated(["(é) Tesla T4"])), field="labels")
    check_labels(gpus.labels(gpus.simulated(["é"])), field="labels")


def test_a_job_cannot_say_which_gpus_it_has() -> None:
    offered = gpus.simulated(["H100", "A100", "H100"])
    forged = {"WASMGRID_GPUS": "7", "WASMGRID_GPU_MODEL": "B200", "A": "b"}
    assert gpus.environment(forged, [], offered) == {"A": "b"}
    assert gpus.environment(forged, [2, 0], offered) == {
        "A": "b",
        "WASMGRID_GPUS": "0,2",
        "WASMGRID_GPU_MODEL": "H100",
    }
    assert gpus.environment({}, [0, 1], offered)["WASMGRID_GPU_MODEL"] == "H100,A100"
