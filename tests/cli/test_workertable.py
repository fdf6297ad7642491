"""Workers as text: 80 columns hold the table, nothing a worker says of itself steers a terminal."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmgrid.cli import workertable
from wasmgrid.core.resources import Resources
from wasmgrid.core.worker import Cache, Gpu, Toolchain
from wasmgrid.sdk.views import Worker

W1 = Worker(
    id="w1",
    state="joined",
    labels={"os": "linux", "arch": "x86_64", "host": "grid", "room": "cellar"},
    capacity=Resources(milli_cpus=2000, memory_mb=4096, disk_mb=1000, gpus=2, slots=4),
    used=Resources(milli_cpus=500, memory_mb=100, disk_mb=10, gpus=1, slots=1),
    running=["job 3"],
    toolchains=[Toolchain(language="c", identity="c-1", version="1", ready=True)],
    hostname="grid",
    version="0.1.0",
    gpus=[Gpu(index=0, model="NVIDIA H100", memory_mb=81559), Gpu(index=1, model="T4", memory_mb=100, simulated=True)],
    gpus_used=[1],
    cache=Cache(modules=3, bytes=2 << 20),
    remaining_s=7199.0,
)
POOL2 = Worker(
    id="pool1:2",
    state="cordoned",
    note="it is cordoned",
    capacity=Resources(milli_cpus=64000, memory_mb=515000),
    builds_only=True,
)


def worker(**changed: Any) -> Worker:
    return msgspec.structs.replace(W1, **changed)


def test_a_line_for_each() -> None:
    assert workertable.narrow([W1, POOL2]) == (
        "WORKER   STATE     CPUS   GIB      GPUS  TASKS  CACHED  STAYS  LABELS\n"
        "pool1:2  cordoned  0/64   0/502.9  -     0      0       -      (only builds)\n"
        "w1       joined    0.5/2  0.1/4    1/2   1      3       1h59m  room=cellar\n"
        "pool1:2 is cordoned · let it go on: wasmgrid uncordon pool1:2\n"
    )


def test_ids_as_people_count() -> None:
    shuffled = [worker(id=name) for name in ("w10", "two:2", "w2", "two", "1a", "two:10", "")]
    lines = workertable.narrow(shuffled).splitlines()[1:]
    assert [line.split("  ")[0] for line in lines] == ["", "1a", "two", "two:2", "two:10", "w2", "w10"]


def test_no_worker_at_all() -> None:
    assert workertable.narrow([]) == "no worker has joined · start one: wasmgrid worker, or wasmgrid join-command\n"
    assert workertable.wide([]) == "no worker has joined · start one: wasmgrid worker, or wasmgrid join-command\n"


def test_everything_about_one() -> None:
    assert workertable.wide([W1]) == (
        "w1  joined\n"
        "  host      grid, version 0.1.0\n"
        "  cpus      0.5 of 2, 1 of 4 slots\n"
        "  memory    100 of 4096 MB\n"
        "  disk      10 of 1000 MB\n"
        "  gpu 0     NVIDIA H100, 81559 MB, free\n"
        "  gpu 1     T4, 100 MB, simulated, taken\n"
        "  runs      job 3\n"
        "  cache     3 modules, 2.0 MiB\n"
        "  stays     1h59m\n"
        "  compiles  c\n"
        "  labels    arch=x86_64 host=grid os=linux room=cellar\n"
    )
    assert "compiles  nothing, and runs nothing" in workertable.wide([POOL2])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"state": "quarantined", "note": "3 tasks that failed here succeeded elsewhere"},
            "w1 is quarantined (3 tasks that failed here succeeded elsewhere) · let it go on: wasmgrid uncordon w1",
        ),
        ({"state": "unheard", "silent_s": 6.2}, "w1 was not heard for 6s · its tasks go elsewhere once it is lost"),
        ({"state": "draining"}, "w1 is draining and goes once job 3 is over"),
        ({"state": "draining", "running": []}, "w1 is draining and goes now"),
    ],
)
def test_why_one_takes_nothing_new(changed: dict[str, Any], said: str) -> None:
    assert workertable.narrow([worker(**changed)]).splitlines()[-1] == said


@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20)), max_size=8), st.integers(0, 10**7))
def test_80_columns_hold_it(labels: list[tuple[str, str]], memory_mb: int) -> None:
    full = worker(id="pool12:345", labels=dict(labels), capacity=Resources(milli_cpus=256_000, memory_mb=memory_mb))
    for line in workertable.narrow([W1, full]).splitlines():
        assert len(line) <= 80


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=30))
def test_hostile_48_no_worker_steers_a_terminal(name: str, label: str, note: str) -> None:
    steering = {chr(point) for point in [*range(10), *range(11, 32), *range(0x7F, 0xA0), 0x202E, 0x2028]}
    gpu = Gpu(index=0, model=name, memory_mb=1)
    shown = [worker(id=name, labels={label: note}, note=note, hostname=label, gpus=[gpu], state="quarantined")]
    assert not set(workertable.narrow(shown)) & steering
    assert not set(workertable.wide(shown)) & steering


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(None, "-"), (0.4, "0s"), (59.9, "59s"), (61, "1m01s"), (3660, "1h01m"), (90061, "1d1h")],
)
def test_how_long_it_stays(seconds: float | None, said: str) -> None:
    assert workertable.remaining(seconds) == said
