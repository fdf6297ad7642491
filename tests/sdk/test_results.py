"""How a result shows itself, and what is raised where success was asked for."""

from __future__ import annotations

from typing import Any

import pytest

import wasmgrid
from wasmgrid.core.job import Artifact, Stats
from wasmgrid.sdk import views
from wasmgrid.sdk.views import Job, Spec

NOBODY: Any = None  # a client: nothing here asks the server


def result(job: Job | None = None, **task: Any) -> wasmgrid.Result:
    given: dict[str, Any] = {"job_id": 7, "outcome": "exited", "exit_code": 0, "worker_id": "w1"} | task
    return wasmgrid.Result(NOBODY, job or Job(id=7, state="succeeded"), views.Result(**given))


def test_a_line_in_a_repl() -> None:
    shown = repr(result(stdout="hi\n" + "x" * 100, stats=Stats(wall_ms=5004.0, cpu_ms=1.0, peak_memory_bytes=1 << 20)))
    assert shown == (
        f"<Result of job 7: exited(0) · run 5.00 s · cpu 1 ms · peak 1.0 MiB · worker w1 · stdout 'hi\\n{'x' * 57}'...>"
    )
    assert repr(result(outcome="timed_out", exit_code=None, message="ran longer than its limit of 1 s")) == (
        "<Result of job 7: timed_out: ran longer than its limit of 1 s · worker w1>"
    )
    assert "\x1b" not in repr(result(outcome="trapped", exit_code=None, trap_kind="\x1b[2J", stdout="\x1b[2J"))


def test_a_block_in_a_notebook_is_text_whatever_a_guest_says() -> None:
    evil = "<script>alert(1)</script>\x1b[2J"
    job = Job(id=7, name=evil, state="failed")
    html = result(
        job, stdout=evil, stderr=evil, message=evil, return_value=evil, exit_code=1, worker_id=evil,
        artifacts=[Artifact(path=evil, bytes=1, sha256="")],
    )._repr_html_()  # fmt: skip
    assert "<script" not in html
    assert "\x1b" not in html
    assert html.count("&lt;script&gt;alert(1)") == 7


def test_bytes_that_are_no_text() -> None:
    shown = result(stdout="\ufffd", stdout_base64="/w==")
    assert (shown.stdout_data, shown.stdout) == (b"\xff", "\ufffd")


def test_check_raises_with_the_end_of_stderr() -> None:
    assert result().check().ok
    failed = result(exit_code=3, stderr="".join(f"line {n}\n" for n in range(50)), message="no")
    with pytest.raises(wasmgrid.TaskFailed) as error:
        failed.check()
    assert error.value.result is failed
    assert error.value.code == "task_failed"
    lines = str(error.value).splitlines()
    assert lines[0] == "error[task_failed]: job 7 ended with exited(3): no"
    assert lines[1:] == [f"line {n}" for n in range(40, 50)]


def test_an_array_as_a_whole() -> None:
    job = Job(
        id=7, state="failed", spec=Spec(array="0-3"), task_count=4, task_counts={"succeeded": 3, "exited": 1},
        state_reason="one failed",
    )  # fmt: skip
    whole = wasmgrid.Result(NOBODY, job)
    assert (whole.ok, whole.outcome, whole.exit_code, whole.index) == (False, "failed", None, None)
    assert repr(whole) == "<Result of job 7: failed · 4 tasks · 3 succeeded · 1 failed>"
    with pytest.raises(wasmgrid.TaskFailed, match=r"1 of 4 tasks · which: wasmgrid tasks 7 --failed"):
        whole.check()
    one = wasmgrid.Result(NOBODY, job, views.Result(job_id=7, index=2, outcome="trapped", trap_kind="unreachable"))
    with pytest.raises(wasmgrid.TaskFailed, match=r"job 7 task 2 ended with trapped\(unreachable\)"):
        one.check()


def test_build_failed_prints_the_diagnostics() -> None:
    error = wasmgrid.BuildFailed("the compiler refused the source", job_id=7, diagnostics="a.c:1:1: error: \x1b[2Jno\n")
    assert str(error) == "error[build_failed]: the compiler refused the source\na.c:1:1: error: \\x1b[2Jno"
    assert isinstance(error, wasmgrid.WasmgridError)


def test_an_artifact_that_is_not_there() -> None:
    with pytest.raises(wasmgrid.NotFound, match=r"left no 'b' in /out · artifacts: a"):
        result(artifacts=[Artifact(path="a", bytes=1, sha256="")]).read("b")
