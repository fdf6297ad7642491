"""The home directory: its lock, its secrets, and what it says of a running server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from wasmgrid.core.errors import HomeInUse, InvalidField, NotFound, Unavailable
from wasmgrid.home import FabricEndpoint, Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home").create()


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_created_private(home: Home) -> None:
    home.create()
    assert [_mode(path) for path in (home.path, home.store, home.nats, home.logs)] == [0o700] * 4


def test_default_is_the_variable_or_a_place_under_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WASMGRID_HOME", str(tmp_path / "here"))
    assert Home.default().path == tmp_path / "here"
    monkeypatch.delenv("WASMGRID_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Home.default().path == tmp_path / ".local/share/wasmgrid"


def test_a_home_that_others_may_write_into_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(Unavailable, match="chmod 700"):
        Home(tmp_path).create()


def test_a_home_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="WASMGRID_HOME"):
        Home(tmp_path / "file" / "home").create()


def test_a_second_holder_is_refused_with_the_first_ones_pid(home: Home) -> None:
    with home.locked(), pytest.raises(HomeInUse, match=rf"pid {os.getpid()}\).*wasmgrid down"), home.locked():
        pass
    with home.locked():
        pass


def test_the_lock_dies_with_its_process(home: Home) -> None:
    code = f"""
import os, sys, time
from pathlib import Path
from wasmgrid.home import Home
with Home(Path({str(home.path)!r})).locked():
    print("held", flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(HomeInUse, match=str(holder.pid)), home.locked():
            pass
        holder.kill()
        holder.wait()
    with home.locked():
        pass


def test_token_is_private_and_stays(home: Home) -> None:
    token = home.ensure_token()
    assert len(token) >= 40
    assert _mode(home.token_file) == 0o600
    assert home.ensure_token() == token == home.token()
    assert [path.name for path in home.path.iterdir() if path.is_file()] == ["token"]


def test_all_who_race_to_make_the_token_get_the_same(home: Home) -> None:
    tokens: list[str] = []
    barrier = threading.Barrier(8)

    def make() -> None:
        barrier.wait()
        tokens.append(home.ensure_token())

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tokens) == 8
    assert len(set(tokens)) == 1


def test_a_missing_or_empty_token_is_said(home: Home) -> None:
    with pytest.raises(NotFound, match="wasmgrid up"):
        home.token()
    home.token_file.write_text("")
    with pytest.raises(NotFound, match="empty"):
        home.token()


def test_endpoint_round_trip_and_removal(home: Home) -> None:
    assert home.endpoint() is None
    written = home.write_endpoint("http://127.0.0.1:3030")
    assert home.endpoint() == written
    assert written.pid == os.getpid()
    home.remove_endpoint()
    assert home.endpoint() is None
    assert not home.endpoint_file.exists()


def test_an_endpoint_of_a_dead_process_counts_for_nothing(home: Home) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    home.endpoint_file.write_text(json.dumps({"url": "http://127.0.0.1:1", "pid": gone.pid, "started_at": 1.0}))
    assert home.endpoint() is None
    home.remove_endpoint()
    assert home.endpoint_file.exists(), "it is not ours to remove"


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"url": 1}', '{"url": "x", "pid": "y"}', "\udcff"])
def test_garbage_in_its_files_is_as_good_as_nothing(home: Home, text: str) -> None:
    home.endpoint_file.write_bytes(text.encode(errors="surrogateescape"))
    home.fabric_file.write_bytes(text.encode(errors="surrogateescape"))
    assert home.endpoint() is None
    assert home.fabric() is None


def test_fabric_round_trip_is_private_and_its_password_is_not_shown(home: Home) -> None:
    endpoint = FabricEndpoint(url="nats://127.0.0.1:4222", user="u", password="very secret", embedded=True)
    home.write_fabric(endpoint)
    assert home.fabric() == endpoint
    assert _mode(home.fabric_file) == 0o600
    assert "very secret" not in repr(endpoint)


def test_fabric_round_trip_with_a_seed_and_an_authority(home: Home) -> None:
    endpoint = FabricEndpoint(url="tls://a:4222, tls://b:4222", seed="very secret", ca="PEM")
    home.write_fabric(endpoint)
    assert home.fabric() == endpoint
    assert endpoint.servers == ["tls://a:4222", "tls://b:4222"]
    assert "very secret" not in repr(endpoint)


def test_a_fabric_file_of_an_older_version_is_read(home: Home) -> None:
    home.fabric_file.write_text('{"url": "nats://a", "user": "u", "password": "p", "embedded": true}')
    assert home.fabric() == FabricEndpoint(url="nats://a", user="u", password="p", embedded=True)


def test_it_is_light() -> None:
    """A status command reads the home; it must not pay for what it does not use."""
    code = "import sys, wasmgrid.home; print(*(set(sys.modules) & {'msgspec', 'nats', 'asyncio', 'structlog'}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("nats://a:4222", FabricEndpoint(url="nats://a:4222")),
        ("a:4222, nats://b:4223", FabricEndpoint(url="nats://a:4222,nats://b:4223")),
        ("nats://u:p%40@a:4222,nats://b", FabricEndpoint(url="nats://a:4222,nats://b", user="u", password="p@")),
    ],
)
def test_the_credential_is_taken_out_of_a_nats_url(url: str, endpoint: FabricEndpoint) -> None:
    assert FabricEndpoint.parse(url) == endpoint


@pytest.mark.parametrize("url", ["http://a", "nats://", ""])
def test_what_is_no_nats_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidField, match="nats://HOST:PORT"):
        FabricEndpoint.parse(url)
