"""A whole server process: how it starts, is found, stops, is killed and comes back."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.processes import runs, shown

from wasmgrid.core.errors import InvalidField, Unavailable
from wasmgrid.home import Home
from wasmgrid.server.listening import bind, check_host, url_of
from wasmgrid.server.process import ServeOptions
from wasmgrid.server.process import serve as serve_here

Serve = Callable[..., Any]
EMPTY_START = b"\0asm\1\0\0\0\1\4\1\x60\0\0\3\2\1\0\7\x0a\1\6_start\0\0\x0a\4\1\2\0\x0b"
JOB = {
    "name": "waits",
    "source": {"language": "wasm", "files": {"empty.wasm": {"base64": base64.b64encode(EMPTY_START).decode()}}},
}


def _wait_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + 60
    while any(runs(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_it_starts_says_where_answers_and_stops_without_a_trace(serve: Serve) -> None:
    server = serve().ready()
    assert server.ask("GET", "/readyz") == (200, {"ok": True, "problems": {}})
    assert server.ask("GET", "/v1/version")[0] == 200
    children = server.children()
    assert children
    assert server.stop() == 0
    assert server.home.endpoint() is None
    assert not server.home.endpoint_file.exists()
    assert not [pid for pid in children if runs(pid)]
    assert re.search(r"grid ready at http://127.0.0.1:\d+ in ", server.stderr.read_text())


def test_no_secret_is_in_a_log_or_an_argument(serve: Serve) -> None:
    server = serve(verbose=True).ready()
    server.ask("GET", "/v1/jobs")
    seen = shown()
    server.stop()
    written = server.stderr.read_text() + "".join(path.read_text() for path in server.home.logs.iterdir())
    password = json.loads(server.home.fabric_file.read_text())["password"]
    for secret in (server.home.token(), password):
        assert secret not in seen
        assert secret not in written


def test_a_second_one_in_the_home_is_refused_and_the_first_goes_on(serve: Serve) -> None:
    first = serve().ready()
    second = serve()
    assert second.ended() == 125
    assert "error[home_in_use]" in second.stderr.read_text()
    assert str(first.process.pid) in second.stderr.read_text()
    assert first.ask("GET", "/readyz")[0] == 200
    assert first.stop() == 0


def test_kill_9_leaves_no_process_and_loses_no_job(serve: Serve) -> None:
    first = serve().ready()
    status, job = first.ask("POST", "/v1/jobs", JOB)
    assert status == 201
    children = first.children()
    assert children
    first.process.kill()
    first.process.wait()
    _wait_gone(children)
    assert first.home.endpoint() is None, "its process is gone, so nobody is sent there"
    second = serve().ready()
    status, found = second.ask("GET", f"/v1/jobs/{job['id']}")
    assert (status, found["name"], found["state"]) == (200, "waits", "queued")
    assert second.stop() == 0


def test_a_stop_is_bounded_although_requests_are_open(serve: Serve) -> None:
    server = serve().ready()
    _, job = server.ask("POST", "/v1/jobs", JOB)
    answers: list[object] = []

    def follow() -> None:
        try:
            status, view = server.ask("GET", f"/v1/jobs/{job['id']}?wait=60")
            answers.append((status, view["state"]))
        except OSError:  # it had not been heard yet
            answers.append((200, "queued"))

    followers = [threading.Thread(target=follow) for _ in range(3)]
    for follower in followers:
        follower.start()
    time.sleep(0.3)  # they are most likely being answered; the test holds either way
    started = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - started < 30, "far below the 60 s that they would wait"
    for follower in followers:
        follower.join()
    assert answers == [(200, "queued")] * 3


def test_a_second_signal_ends_it_at_once(serve: Serve) -> None:
    server = serve().ready()
    children = server.children()
    os.kill(children[0], signal.SIGSTOP)  # an orderly stop would have to wait for it
    try:
        server.process.send_signal(signal.SIGTERM)
        server.until(lambda: not server.home.endpoint_file.exists())
        server.process.send_signal(signal.SIGTERM)
        assert server.ended() in {128 + signal.SIGTERM, 0}
        _wait_gone(children)
    finally:
        for pid in children:
            if runs(pid):
                os.kill(pid, signal.SIGKILL)


def test_it_stops_by_itself_when_idle_but_not_with_a_job_to_do(serve: Serve) -> None:
    idle = serve(idle_exit_s=0.2)
    assert idle.ended() == 0
    busy = serve().ready()
    _, job = busy.ask("POST", "/v1/jobs", JOB)
    assert busy.stop() == 0
    busy = serve(idle_exit_s=0.5).ready()
    time.sleep(1.5)
    assert busy.process.poll() is None
    busy.ask("POST", f"/v1/jobs/{job['id']}/cancel")
    assert busy.ended() == 0


def test_nats_killed_and_the_server_is_well_again(serve: Serve) -> None:
    server = serve().ready()
    (nats,) = server.children()
    os.kill(nats, signal.SIGKILL)
    server.until(lambda: nats not in server.children() and server.ask("GET", "/readyz")[0] == 200)
    assert server.stop() == 0


def test_a_fabric_that_does_not_answer_is_waited_for_and_a_signal_ends_that(serve: Serve) -> None:
    server = serve(nats_url="nats://user:hidden@127.0.0.1:1")
    server.until(lambda: "waiting for the fabric" in server.stderr.read_text())
    assert server.stop() == 0
    assert "hidden" not in server.stderr.read_text() + (server.home.logs / "server.log").read_text()


def test_a_shared_store_that_is_away_is_waited_for_and_a_signal_ends_that(serve: Serve) -> None:
    server = serve(store_url="postgresql://someone:hidden@127.0.0.1:1/nothing")
    server.until(lambda: "waiting for the store" in server.stderr.read_text())
    assert server.stop() == 0
    assert "hidden" not in server.stderr.read_text() + (server.home.logs / "server.log").read_text()
    assert not server.home.endpoint_file.exists()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.1", "::", "example.com", "", "10.0.0.1"])  # noqa: S104
def test_it_does_not_listen_beyond_this_machine(host: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidField, match="TLS"):
        asyncio.run(serve_here(ServeOptions(home=Home(tmp_path / "home"), host=host)))
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.3.2.1", "::1", "localhost"])
def test_loopback_is_fine(host: str) -> None:
    check_host(host)


def test_an_explicit_port_that_is_taken_is_an_error_the_default_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable, match="--port 0"):
            bind("127.0.0.1", port)
        monkeypatch.setattr("wasmgrid.server.listening.DEFAULT_PORT", port)
        with bind("127.0.0.1", None) as other:
            assert other.getsockname()[1] != port
            assert url_of(other) == f"http://127.0.0.1:{other.getsockname()[1]}"
    with pytest.raises(InvalidField):
        bind("127.0.0.1", 70_000)


def test_a_url_of_ipv6_has_brackets() -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        listener = bind("::1", 0)
    except Unavailable:
        pytest.skip("no IPv6 loopback here")
    with listener:
        assert url_of(listener) == f"http://[::1]:{listener.getsockname()[1]}"
