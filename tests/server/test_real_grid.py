"""The API before a real grid: processes, a fabric, a worker, modules that run."""

from __future__ import annotations

import asyncio
import io
import os
import tarfile
import time
from collections.abc import Iterator

import httpx
import pytest
from tests.e2e.grid import Grid
from tests.server.bench import check_problem
from tests.server.test_streams import events_of, text
from wasmtime import wat2wasm

from wasmgrid.core.digest import sha256_hex

DEADLINE_S = 120.0

_HEAD = """
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 4)
  (func $write (param $fd i32) (param $at i32) (param $size i32)
    (i32.store (i32.const 0) (local.get $at))
    (i32.store (i32.const 4) (local.get $size))
    (drop (call $fd_write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))))
  (func $sleep (param $ns i64)
    (i32.store (i32.const 80) (i32.const 1))
    (i64.store (i32.const 88) (local.get $ns))
    (drop (call $poll_oneoff (i32.const 64) (i32.const 128) (i32.const 1) (i32.const 192))))
"""
HELLO = (
    _HEAD
    + """(data (i32.const 256) "hello\\n")
  (func (export "_start") (call $write (i32.const 1) (i32.const 256) (i32.const 6))))"""
)
TICKS = (
    _HEAD
    + """(data (i32.const 256) "tick\\n")
  (func (export "_start") (local $left i32)
    (local.set $left (i32.const 5))
    (loop $again
      (call $write (i32.const 1) (i32.const 256) (i32.const 5))
      (call $sleep (i64.const 300000000))
      (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))))"""
)
CAT = (
    _HEAD
    + """(func (export "_start")
    (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 65536))
    (block $end (loop $again
      (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 65536))
      (br_if $end (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
      (br_if $end (i32.eqz (i32.load (i32.const 8))))
      (call $write (i32.const 1) (i32.const 1024) (i32.load (i32.const 8)))
      (br $again))))
  )"""
)
ENDLESS = _HEAD + '(func (export "_start") (loop $again (call $sleep (i64.const 100000000)) (br $again))))'
TRAP = _HEAD + '(func (export "_start") unreachable))'


@pytest.fixture
def http(grid: Grid) -> Iterator[httpx.Client]:
    """A plain client with the token."""
    headers = {"Authorization": f"Bearer {grid.token}"}
    with httpx.Client(base_url=grid.url, headers=headers, timeout=DEADLINE_S) as client:
        yield client


def module(http: httpx.Client, wat: str) -> str:
    """The module of this text, sent to the grid; its digest."""
    data = bytes(wat2wasm(wat))
    sha256 = sha256_hex(data)
    answer = http.put(f"/v1/modules/{sha256}", content=data)
    assert answer.status_code in {200, 201}, answer.text
    return sha256


def run(http: httpx.Client, wat: str, **spec: object) -> dict[str, object]:
    """A job of this module, to its end."""
    answer = http.post("/v1/jobs", params={"wait": 60}, json={"module_sha256": module(http, wat), **spec})
    assert answer.status_code == 201, answer.text
    job: dict[str, object] = answer.json()
    while not job["finished"]:
        job = http.get(f"/v1/jobs/{job['id']}", params={"wait": 60}).json()
    return job


def test_a_module_runs_and_every_file_of_it_is_there(http: httpx.Client) -> None:
    job = run(http, HELLO, name="hello")
    assert job["state"] == "succeeded"
    result = job["result"]
    assert isinstance(result, dict)
    assert result["stdout"] == "hello\n"
    assert result["stats"]["wall_ms"] > 0
    base = f"/v1/jobs/{job['id']}"
    assert http.get(f"{base}/stdout").content == b"hello\n"
    assert http.get(f"{base}/module").content == bytes(wat2wasm(HELLO))
    assert http.get(f"{base}/attempts").json()["attempts"][0]["outcome"] == "exited"
    assert http.get(f"{base}/artifacts").json() == {"artifacts": []}


def test_large_output_comes_back_whole_from_a_blob(http: httpx.Client) -> None:
    typed = os.urandom(150_000).hex()
    job = run(http, CAT, stdin=typed)
    result = job["result"]
    assert isinstance(result, dict)
    assert result["stdout_bytes"] == 300_000
    assert result["stdout"] == typed[:65536]
    assert http.get(f"/v1/jobs/{job['id']}/stdout").text == typed
    assert http.get(f"/v1/jobs/{job['id']}/stdin").text == typed


def test_output_is_followed_live_by_several_and_resumed(grid: Grid, http: httpx.Client) -> None:
    sha256 = module(http, TICKS)

    async def follow(client: httpx.AsyncClient, job_id: int) -> tuple[str, list[float]]:
        heard: list[float] = []
        events = []
        async with client.stream("GET", f"/v1/jobs/{job_id}/logs") as answer:
            async for event in events_of(answer):
                heard.append(time.monotonic())
                events.append(event)
        assert events[-1][0] == "end"
        assert events[-1][1]["outcome"] == "exited"
        return text(events), heard

    async def story() -> None:
        headers = {"Authorization": f"Bearer {grid.token}"}
        async with httpx.AsyncClient(base_url=grid.url, headers=headers, timeout=DEADLINE_S) as client:
            job = (await client.post("/v1/jobs", json={"module_sha256": sha256})).json()
            logs = await asyncio.gather(*(follow(client, job["id"]) for _ in range(5)))
            for log, heard in logs:
                assert log == "tick\n" * 5
                assert heard[-1] - heard[0] > 0.6  # as it came, not all at the end
            async with client.stream("GET", f"/v1/jobs/{job['id']}/logs", params={"stdout_offset": 20}) as answer:
                assert text([event async for event in events_of(answer)]) == "tick\n"

    asyncio.run(story())


def test_a_running_job_is_cancelled_and_its_events_end(grid: Grid, http: httpx.Client) -> None:
    sha256 = module(http, ENDLESS)

    async def story() -> None:
        headers = {"Authorization": f"Bearer {grid.token}"}
        async with httpx.AsyncClient(base_url=grid.url, headers=headers, timeout=DEADLINE_S) as client:
            job = (await client.post("/v1/jobs", json={"module_sha256": sha256})).json()
            states = []
            async with client.stream("GET", f"/v1/jobs/{job['id']}/events") as answer:
                async for kind, data, _ in events_of(answer):
                    states.append(data["state"])
                    if kind == "job" and data["state"] == "running":
                        await client.post(f"/v1/jobs/{job['id']}/cancel")
            assert "running" in states
            assert states[-1] == "cancelled"
            ended = (await client.get(f"/v1/jobs/{job['id']}")).json()
            assert ended["result"]["outcome"] == "cancelled"

    asyncio.run(story())


def test_a_trap_is_a_result_with_a_backtrace(http: httpx.Client) -> None:
    job = run(http, TRAP)
    result = job["result"]
    assert isinstance(result, dict)
    assert job["state"] == "failed"
    assert result["outcome"] == "trapped"
    assert result["trap_kind"] == "unreachable"
    assert result["backtrace"]


def test_a_tree_comes_in_as_a_directory(http: httpx.Client) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("sub/data.txt")
        info.size = 5
        archive.addfile(info, io.BytesIO(b"fine\n"))
    data = out.getvalue()
    sha256 = sha256_hex(data)
    assert http.put(f"/v1/inputs/{sha256}", params={"tree": "1"}, content=data).status_code in {200, 201}
    job = run(http, HELLO, inputs=[{"path": "/in/d", "sha256": sha256, "tree": True}])
    assert job["state"] == "succeeded", job


def test_text_format_is_built_and_its_errors_come_back(http: httpx.Client) -> None:
    source = {"files": {"hello.wat": HELLO}}
    job = http.post("/v1/jobs", params={"wait": 60}, json={"source": source}).json()
    assert job["state"] == "succeeded", job
    assert job["build"]["language"] == "wat"
    assert job["build"]["cached"] is False
    again = http.post("/v1/jobs", params={"wait": 60}, json={"source": source}).json()
    assert again["build"]["cached"] is True
    assert http.get(f"/v1/jobs/{job['id']}/source").json()["files"]["hello.wat"] == HELLO
    broken = http.post("/v1/jobs", params={"wait": 60}, json={"source": {"files": {"x.wat": "(module (func"}}}).json()
    assert broken["state"] == "failed", broken
    assert broken["result"]["outcome"] == "build_failed"
    assert broken["build"]["diagnostics"]
    assert http.get(f"/v1/jobs/{broken['id']}/diagnostics").text == broken["build"]["diagnostics"]


def test_hostile_56_resources_nobody_has_wait_with_a_reason(http: httpx.Client) -> None:
    sha256 = module(http, HELLO)
    job = http.post("/v1/jobs", json={"module_sha256": sha256, "gpus": 7}).json()
    assert job["warnings"]
    shown = http.get(f"/v1/jobs/{job['id']}").json()
    assert shown["state"] == "queued"
    assert "gpu" in shown["state_reason"]
    assert "gpu" in str(http.get(f"/v1/jobs/{job['id']}/why").json())
    refused = http.post("/v1/jobs", json={"module_sha256": sha256, "gpus": 7, "fail_fast": True})
    check_problem(refused, 409, "unsatisfiable")
    assert http.post(f"/v1/jobs/{job['id']}/cancel").status_code == 200


def test_the_grid_is_ready_and_closed_to_strangers(grid: Grid, http: httpx.Client) -> None:
    assert http.get("/readyz").json() == {"ok": True, "problems": {}}
    assert httpx.get(f"{grid.url}/healthz").status_code == 200
    check_problem(httpx.get(f"{grid.url}/v1/jobs"), 401, "unauthorized")
    check_problem(http.get("/v1/jobs", headers={"Host": "evil.example"}), 403, "forbidden")
    check_problem(http.post("/v1/jobs", json={}, headers={"Origin": "http://evil.example"}), 403, "forbidden")
    assert {worker["state"] for worker in http.get("/v1/workers").json()["workers"]} == {"joined"}
