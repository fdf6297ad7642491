"""A run that is attached: a server dies under it, the next goes on behind what was printed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.sdk.scripted import Answer, Asked, Scripted, serving

from wasmgrid.cli import patience
from wasmgrid.cli.main import main

RUNNING = {"id": 3, "state": "running"}
DONE = {
    "id": 3,
    "state": "succeeded",
    "finished": True,
    "result": {"outcome": "exited", "exit_code": 7, "worker_id": "w1"},
}


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[tuple[Scripted, Scripted]]:
    """Two servers of one grid, both configured."""
    with serving() as first, serving() as second:
        monkeypatch.setenv("WASMGRID_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("WASMGRID_SERVER", f"{first.url},{second.url}")
        monkeypatch.chdir(tmp_path)
        Path("x.wat").write_text("(module)")
        yield first, second


def events(*said: tuple[str, str, str]) -> bytes:
    return "".join(f"event: {kind}\nid: {number}\ndata: {data}\n\n" for kind, number, data in said).encode()


def stream(*said: tuple[str, str, str], broken: bool = False) -> Answer:
    return Answer(events(*said), kind="text/event-stream", broken=broken)


def test_a_run_goes_on_at_the_next_server(
    servers: tuple[Scripted, Scripted], capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    first, second = servers

    def dies(asked: Asked) -> Answer:
        if asked.method == "POST":
            return Answer(RUNNING, 201)
        if asked.target.endswith("/events"):
            return stream(("job", "", '{"id": 3, "state": "running"}'))
        return stream(("stdout", "1-6-0", '{"offset": 0, "data": "first "}'), broken=True)

    def lives(asked: Asked) -> Answer:
        if "/logs" in asked.target:
            return stream(
                ("stdout", "1-12-0", '{"offset": 6, "data": "second\\n"}'), ("end", "", '{"state": "succeeded"}')
            )
        return Answer(DONE)

    first.respond, second.respond = dies, lives
    assert main(["run", "x.wat"]) == 7
    said = capsysbinary.readouterr()
    assert said.out == b"first second\n"
    assert f"the server at {first.url} cannot be reached".encode() in said.err
    assert b"; trying again" in said.err
    (resumed,) = [asked for asked in second.asked if "/logs" in asked.target]
    assert resumed.headers["Last-Event-ID"] == "1-6-0"


def test_a_follower_gives_up_where_every_server_stays_away(
    servers: tuple[Scripted, Scripted], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(patience, "RECONNECT_S", 0.2)
    for server in servers:
        server.respond = lambda asked: Answer(RUNNING, 201) if asked.method == "POST" else Answer(cut=True)
    assert main(["run", "x.wat"]) == 125
    assert "come back: wasmgrid logs -f 3" in capsys.readouterr().err
