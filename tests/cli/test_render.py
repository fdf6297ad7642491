"""A job as text: the prototype's block byte for byte, the line after a run, what went wrong and what to type next."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmgrid.build.doctor import ToolchainStatus
from wasmgrid.cli import render, tables
from wasmgrid.core.job import Artifact, BuildView, Stats
from wasmgrid.core.outcome import Outcome, OutcomeKind, process_exit_code
from wasmgrid.sdk.views import Credential, Job, Result, Spec, Why, WorkerWhy

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
STATS = Stats(queue_ms=3.2, wall_ms=5004.4, cpu_ms=1.0, peak_memory_bytes=1_153_434)
DONE = Job(
    id=10,
    name="sleep",
    state="succeeded",
    finished=True,
    submitted_at=NOW - timedelta(seconds=6),
    started_at=NOW - timedelta(seconds=5),
    finished_at=NOW,
    module_sha256="ab" * 32,
    module_bytes=54_000,
    build=BuildView(cached=True, toolchain="rust 1.96", language="rust"),
    result=Result(
        job_id=10, outcome="exited", exit_code=0, worker_id="w1", stdout="job done, hello!\n", stats=STATS
    ),
)  # fmt: skip


def ended(outcome: str, **fields: Any) -> Job:
    spec = Spec(time_limit_s=30.0, memory_mb=64, output_limit_bytes=16 << 20)
    result = Result(job_id=10, outcome=outcome, worker_id="w1", stats=STATS, **fields)
    return msgspec.structs.replace(DONE, state="failed", spec=spec, result=result)


def test_the_block_of_the_prototype() -> None:
    assert render.status_block(DONE, now=NOW) == (
        "job status:\n"
        '\tname: "sleep"\n'
        "\tfinished: true\n"
        "\trunning time (ms): 5004\n"
        '\texecution output: "job done, hello!\\n"\n'
    )


def test_the_block_while_it_runs() -> None:
    live = msgspec.structs.replace(DONE, state="running", finished=False, finished_at=None, result=None)
    assert render.status_block(live, now=NOW, live_head=b"so far") == (
        'job status:\n\tname: "sleep"\n\tfinished: false\n\trunning time (ms): 5000\n\texecution output: "so far"\n'
    )


def test_the_block_before_it_runs() -> None:
    waiting = Job(id=1, name="", state="queued", state_reason="waits for 2 gpus")
    assert render.status_block(waiting, now=NOW) == (
        'job status:\n\tname: ""\n\tfinished: false\n\trunning time (ms): 0\n\texecution output: ""\n'
    )
    assert "state: queued (waits for 2 gpus)" in render.status_details(waiting, now=NOW)
    assert "wasmgrid why 1" in render.status_details(waiting, now=NOW)


@given(st.text(), st.text())
def test_hostile_48_the_block_is_harmless_and_still_json(name: str, output: str) -> None:
    job = msgspec.structs.replace(DONE, name=name, result=Result(outcome="exited", exit_code=0, stdout=output[:1000]))
    block = render.status_block(job, now=NOW)
    lines = block.split("\n")
    assert len(lines) == 6
    assert not set(block) & {chr(point) for point in [*range(9), *range(11, 32), *range(0x7F, 0xA0), 0x202E, 0x2028]}
    assert json.loads(lines[1].removeprefix("\tname: ")) == name
    assert json.loads(lines[4].removeprefix("\texecution output: ")) == output[:1000]


def test_the_head_of_a_long_output() -> None:
    job = msgspec.structs.replace(
        DONE, result=Result(outcome="exited", exit_code=0, stdout="é" * 5000, stdout_bytes=10_000)
    )
    line = render.status_block(job, now=NOW).splitlines()[4]
    assert json.loads(line.removeprefix("\texecution output: ")) == "é" * (render.HEAD_BYTES // 2)
    assert "stdout: 9.8 KiB" in render.status_details(job, now=NOW)


def test_details() -> None:
    assert render.status_details(DONE, now=NOW) == (
        "\tid: 10\n"
        "\tstate: succeeded\n"
        "\toutcome: exited(0)\n"
        "\tsubmitted: 2026-01-02T03:03:59Z\n"
        "\ttoolchain: rust 1.96\n"
        "\tstatistics: compile cached · queue 3 ms · run 5.00 s · cpu 1 ms · peak 1.1 MiB · worker w1\n"
        f"\twasm: {'ab' * 32} (52.7 KiB)\n"
        "\tnext: wasmgrid logs 10 · wasmgrid wasm 10 -o 10.wasm\n"
    )


def test_the_line_after_a_run() -> None:
    assert render.summary(DONE) == "compile cached · queue 3 ms · run 5.00 s · cpu 1 ms · peak 1.1 MiB · worker w1"


def test_the_line_of_a_fresh_build_of_a_module_and_of_a_failure() -> None:
    built = msgspec.structs.replace(DONE, build=BuildView(cached=False, build_ms=812.0))
    assert render.summary(built).startswith("compile 812 ms · queue")
    assert render.summary(msgspec.structs.replace(DONE, build=None)).startswith("queue 3 ms")
    assert render.summary(ended("exited", exit_code=42)).endswith("worker w1 · exit 42")
    assert render.summary(ended("build_failed")).startswith("compile failed")
    never = Result(outcome="cancelled", message="cancelled before it ran")
    assert render.summary(msgspec.structs.replace(DONE, result=never)) == "compile cached"


@pytest.mark.parametrize(
    ("job", "line"),
    [
        (ended("timed_out", message="x"), "x · allow more: --time-limit 60s"),
        (ended("out_of_memory", message="x"), "x · allow more: --memory-mb 128"),
        (
            ended("output_limit", message="x"),
            "x · allow more: --output-limit 32.0MiB, or cut it: --output-overflow truncate",
        ),
        (ended("trapped", trap_kind="unreachable", message="x"), "x · take it home: wasmgrid repro 10"),
        (ended("build_failed", message="x"), "x · again: wasmgrid logs --build 10"),
        (ended("cancelled", message="x"), "x"),
        (ended("brand_new"), "job 10 ended so"),
    ],
)
def test_why_a_job_did_not_end_by_itself(job: Job, line: str) -> None:
    assert job.result is not None
    assert render.failure(job) == [f"error[{job.result.outcome}]: {line}"]


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        ("ran longer than its limit of 30 s", "--time-limit 60s"),
        ("it waited 5 s without a start (queue_timeout_s): no worker fits", "--queue-timeout 10s"),
        ("not finished 90 s after its submission (total_timeout_s)", "--total-timeout 3m"),
    ],
)
def test_of_three_timeouts_the_one_that_passed_is_named(message: str, hint: str) -> None:
    spec = Spec(time_limit_s=30.0, queue_timeout_s=5.0, total_timeout_s=90.0)
    job = msgspec.structs.replace(ended("timed_out", message=message), spec=spec)
    assert render.failure(job) == [f"error[timed_out]: {message} · allow more: {hint}"]


def test_a_job_that_ended_without_a_result() -> None:
    job = Job(id=3, state="cancelled", finished=True)
    assert render.failure(job) == ["error[cancelled]: job 3 is cancelled"]
    assert job.process_exit_code == 130
    assert render.failure(Job(id=3, state="running")) == []


def test_hostile_45_a_backtrace_is_readable() -> None:
    job = ended("trapped", message="integer divide by zero", backtrace="0: div\n1: \x1b[31mmain")
    assert render.failure(job)[1:] == ["  0: div", "  1: \\x1b[31mmain"]


def test_hostile_1_diagnostics_verbatim_and_coloured_by_us_alone() -> None:
    said = "\x1b[31merror[E0425]\x1b[0m: cannot find `x`\n --> hello.rs:2\n  |  ^^^\nwarning: y\n\x1b]0;evil\x07"
    assert render.diagnostics(said, colour=False) == (
        "error[E0425]: cannot find `x`\n --> hello.rs:2\n  |  ^^^\nwarning: y\n\\x1b]0;evil\\x07\n"
    )
    coloured = render.diagnostics(said, colour=True)
    assert "\x1b[1;31merror\x1b[0m[E0425]" in coloured
    assert "\x1b[1;33mwarning\x1b[0m: y" in coloured
    assert "\\x1b]0;evil\\x07" in coloured


def test_tables() -> None:
    assert tables.jobs([DONE, Job(id=2, state="queued")], now=NOW) == (
        "ID  NAME   STATE      OUTCOME    RUN     AGE\n"
        "10  sleep  succeeded  exited(0)  5.00 s  6s\n"
        "2   -      queued     -          -       -\n"
    )
    rust = ToolchainStatus(
        language="rust", identity="r", version="1.96", state="missing", download_mb=300, install_s=120
    )
    assert tables.toolchains([rust]) == (
        "LANGUAGE  STATE    VERSION  TO INSTALL           DISK\nrust      missing  1.96     about 300 MB, 2 min  -\n"
    )
    answer = Why(
        reason="no worker has 2 gpus",
        workers=[
            WorkerWhy(worker_id="w1", mismatches=["gpus 0"], change="gpus 0"),
            *(WorkerWhy(worker_id=f"pool{number}", mismatches=["gpus 1"]) for number in range(8)),
            WorkerWhy(worker_id="w2"),
            WorkerWhy(worker_id="w3", mismatches=["it is cordoned"], change="wasmgrid uncordon w3"),
        ],
    )
    assert tables.why(answer) == (
        "no worker has 2 gpus\n"
        "  w1: gpus 0 · would fit with gpus 0\n"
        "  pool0, pool1, pool2, pool3, pool4 and 3 more: gpus 1\n"
        "  w2: fits\n"
        "  w3: it is cordoned · wasmgrid uncordon w3\n"
    )
    made = Credential(name="pool1", kind="worker", created_at=NOW - timedelta(hours=2))
    revoked = Credential(name="old", kind="server", created_at=NOW - timedelta(days=9), revoked_at=NOW)
    assert tables.credentials([made, revoked], now=NOW) == (
        "NAME   KIND    STATE           AGE\npool1  worker  valid           2h\nold    server  revoked 0s ago  9d\n"
    )
    assert tables.artifacts([Artifact(path="a\x1b.txt", sha256="ab", bytes=2048)]) == (
        "PATH       SIZE     SHA256\na\\x1b.txt  2.0 KiB  ab\n"
    )


@pytest.mark.parametrize("seconds", [0, 59, 60, 3599, 3600, 86400, 200_000])
def test_age(seconds: int) -> None:
    expected = {0: "0s", 59: "59s", 60: "1m", 3599: "59m", 3600: "1h", 86400: "1d", 200_000: "2d"}
    assert tables.age(NOW - timedelta(seconds=seconds), NOW) == expected[seconds]


@pytest.mark.parametrize("kind", list(OutcomeKind))
def test_exit_codes_are_those_of_the_core(kind: OutcomeKind) -> None:
    assert ended(kind.value, exit_code=7).process_exit_code == process_exit_code(Outcome(kind=kind, exit_code=7))


def test_artifacts_are_named_in_the_status() -> None:
    result = Result(outcome="exited", exit_code=0, artifacts=[Artifact(path="plot.svg", bytes=2048, sha256="ab" * 32)])
    details = render.status_details(msgspec.structs.replace(DONE, result=result), now=NOW)
    assert "\tartifact: plot.svg (2.0 KiB)\n" in details
    assert "wasmgrid artifacts 10 -o out" in details
