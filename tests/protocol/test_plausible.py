"""What a worker says and cannot be goes no further, and whatever it says, the leader goes on."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.protocol.test_leader import arrive, holder, info, join, leader, module_written, sent

from wasmgrid.core import wire
from wasmgrid.core.job import INLINE_BYTES, Artifact, BuildResult, Output, Stats, TaskResult
from wasmgrid.core.outcome import Outcome, OutcomeKind, exited
from wasmgrid.core.resources import Resources
from wasmgrid.core.worker import Cache, Gpu
from wasmgrid.protocol.plausible import refusal

NAN, INFINITE = float("nan"), float("inf")
GPU = Gpu(index=0, model="NVIDIA H100 80GB HBM3", memory_mb=81559)
HELD = wire.Held(attempt=1 << 32, kind="run", id=1)
RESULT = TaskResult(job_id=1, index=0, attempt=1, worker_id="w1", outcome=exited(0))
BUILD = BuildResult(build_id=1, attempt=1, worker_id="w1", outcome=exited(0), module_sha256="a" * 64)


def _inventory(**changes: object) -> wire.Inventory:
    return wire.Inventory(worker=replace(info(), **changes), term=1)


def _held(**changes: object) -> wire.Heartbeat:
    held = [replace(HELD, **changes)]
    return wire.Heartbeat(worker_id="w1", incarnation="1", term=1, assigned_seq=0, held=held)


def _result(**changes: object) -> wire.Results:
    return wire.Results(worker_id="w1", incarnation="1", tasks=[replace(RESULT, **changes)])


def _build(**changes: object) -> wire.Results:
    return wire.Results(worker_id="w1", incarnation="1", builds=[replace(BUILD, **changes)])


@pytest.mark.parametrize(
    "message",
    [
        _inventory(capacity=Resources(milli_cpus=-1)),
        _inventory(capacity=Resources(memory_mb=1 << 63)),
        _inventory(capacity=Resources(gpus=1_000_000)),
        _inventory(capacity=Resources(gpus=2), gpus=[GPU, GPU]),
        _inventory(capacity=Resources(gpus=1), gpus=[replace(GPU, index=-1)]),
        _inventory(capacity=Resources(gpus=1), gpus=[replace(GPU, memory_mb=1 << 63)]),
        _inventory(labels={"a b": "c"}),
        _inventory(labels={"a": "\x1b[2J"}),
        _inventory(labels={f"k{number}": "v" for number in range(1000)}),
        _inventory(hostname="h" * 1000),
        _inventory(id="w.>"),
        replace(_inventory(), remaining_s=NAN),
        replace(_inventory(), remaining_s=INFINITE),
        replace(_inventory(), remaining_s=-1.0),
        replace(_inventory(), modules=["../../x"]),
        replace(_inventory(), modules=["a" * 64] * 2001),
        replace(_inventory(), cache=Cache(modules=-1)),
        _held(attempt=1 << 63),
        _held(id=1 << 63),
        _held(index=-1),
        _held(kind="other"),
        _held(started_at=NAN),
        _held(started_at=1e300),
        _held(gpus=[7, 7]),
        _result(worker_id="w2"),
        _result(outcome=Outcome(kind=OutcomeKind.EXITED, exit_code=-1)),
        _result(stdout=Output(data=b"x" * (INLINE_BYTES + 1))),
        _result(stderr=Output(size=1 << 63)),
        _result(stdout=Output(sha256="../x")),
        _result(artifacts=[Artifact(path="x", bytes=1 << 63, sha256="a" * 64)]),
        _result(artifacts=[Artifact(path="x", bytes=1, sha256="x")]),
        _result(started_at=INFINITE),
        _result(stats=Stats(cpu_ms=NAN)),
        _build(worker_id="w2"),
        _build(module_sha256="x"),
        _build(module_bytes=-1),
    ],
)
def test_hostile_81_what_cannot_be_is_refused_by_name(message: wire.Message) -> None:
    assert refusal(message).startswith(("cannot be: ", "'"))


def test_what_can_be_is_not_refused() -> None:
    inventory = _inventory(capacity=Resources(milli_cpus=500, memory_mb=1 << 20, gpus=1), gpus=[GPU])
    for message in (
        replace(inventory, held=[HELD], remaining_s=0.5, modules=["a" * 64], cache=Cache(modules=1, bytes=1 << 33)),
        _held(phase="running", started_at=1.8e9, detail="ziglang: downloading 0/20", gpus=[0]),
        wire.Progress(worker_id="w1", incarnation="1", held=[HELD]),
        wire.Refused(worker_id="w1", attempt=1, reason="no room"),
        _result(stdout=Output(data=b"x" * INLINE_BYTES, size=1 << 24, sha256="a" * 64)),
        _build(),
        wire.Leave(worker_id="w1", incarnation="1"),
    ):
        assert refusal(message) == ""


def test_hostile_81_an_attempt_that_was_never_given_takes_no_task() -> None:
    """Whoever could name a later attempt than the task's own could end any job with a result of its making."""
    led = leader(term=3)
    join(led)
    module_written(led, arrive(led))
    join(led, 2.0, worker=info("w2"))
    given, to = holder(led).attempt, holder(led).worker_id
    liar = "w2" if to == "w1" else "w1"
    for attempt in ((3 << 32) + 1000, 4 << 32):
        held = [wire.Held(attempt=attempt, kind="run", id=1, phase="running")]
        told = sent(join(led, 3.0, worker=info(liar), held=held), wire.Cancel)
        assert told == [wire.Cancel(term=3, attempt=attempt, reason="superseded")]
        assert (holder(led).attempt, holder(led).worker_id) == (given, to)
