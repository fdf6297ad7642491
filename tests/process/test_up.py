"""Server and worker together, as `wasmgrid up` runs them."""

from __future__ import annotations

import base64
import os
import signal
from collections.abc import Callable
from typing import Any

import wasmtime
from tests.processes import children, command, runs

Serve = Callable[..., Any]

HELLO = """
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 8) "hello\\n")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 8))
    (i32.store (i32.const 4) (i32.const 6))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 20)))))
"""
SPIN = '(module (memory (export "memory") 1) (func (export "_start") (loop $again (br $again))))'


def _job(wat: str, **more: object) -> dict[str, object]:
    module = base64.b64encode(wasmtime.wat2wasm(wat)).decode()
    return {"source": {"language": "wasm", "files": {"a.wasm": {"base64": module}}}, **more}


def _descendants(pid: int) -> dict[int, str]:
    """Every running process below `pid`, with its command."""
    return children(pid, recursive=True)


def _still_there(processes: dict[int, str]) -> set[int]:
    return {pid for pid, argv in processes.items() if runs(pid) and command(pid) == argv}


def test_a_job_is_run_and_everything_ends_with_the_server(serve: Serve) -> None:
    server = serve(with_worker=True).ready()
    status, job = server.ask("POST", "/v1/jobs?wait=60", _job(HELLO))
    assert (status, job["state"], job["result"]["stdout"]) == (201, "succeeded", "hello\n")
    processes = _descendants(server.process.pid)
    assert any("wasmgrid.worker" in command for command in processes.values())
    assert server.stop() == 0
    assert not _still_there(processes)


def test_kill_9_leaves_no_process_and_the_job_finishes_after_the_next_up(serve: Serve) -> None:
    first = serve(with_worker=True).ready()
    _, job = first.ask("POST", "/v1/jobs", _job(SPIN, time_limit_s=3))
    first.until(lambda: first.ask("GET", f"/v1/jobs/{job['id']}")[1]["state"] == "running")
    processes = _descendants(first.process.pid)
    assert any("wasmgrid.runner" in command for command in processes.values())
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    second = serve(with_worker=True).ready()
    second.until(lambda: not _still_there(processes))
    second.until(lambda: second.ask("GET", f"/v1/jobs/{job['id']}?wait=5")[1]["finished"])
    found = second.ask("GET", f"/v1/jobs/{job['id']}")[1]
    assert found["result"]["outcome"] == "timed_out"
    assert second.stop() == 0


def test_a_killed_worker_is_replaced_and_its_job_runs_again(serve: Serve) -> None:
    server = serve(with_worker=True).ready()
    _, job = server.ask("POST", "/v1/jobs", _job(SPIN, time_limit_s=3))
    server.until(lambda: server.ask("GET", f"/v1/jobs/{job['id']}")[1]["state"] == "running")
    processes = _descendants(server.process.pid)
    (worker,) = (pid for pid, command in processes.items() if "wasmgrid.worker --home" in command)
    os.kill(worker, signal.SIGKILL)
    server.until(lambda: server.ask("GET", f"/v1/jobs/{job['id']}?wait=5")[1]["finished"])
    found = server.ask("GET", f"/v1/jobs/{job['id']}")[1]
    assert found["result"]["outcome"] == "timed_out"
    status, job = server.ask("POST", "/v1/jobs?wait=60", _job(HELLO))
    assert (status, job["state"]) == (201, "succeeded")
    assert server.stop() == 0
