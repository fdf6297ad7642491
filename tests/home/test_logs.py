"""A log that people and programs read: as text and as JSON, with what is bound to the process, and without secrets."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from wasmgrid import logs

SEED = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY"


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def test_json_is_an_object_a_line_with_what_the_process_is_about(tmp_path: Path) -> None:
    logs.configure(tmp_path / "log", json=True)
    logs.about(server="server-1")
    log = structlog.get_logger()
    log.info("job failed", job=7, attempt=4294967297, worker="w1", odd={"a": {1}}, path=tmp_path)
    try:
        raise ValueError("as it happens")
    except ValueError:
        log.exception("it broke", job=8)
    logging.getLogger("nats").warning("from a library")
    first, second, third = (json.loads(line) for line in (tmp_path / "log").read_text().splitlines())
    assert (first["event"], first["job"], first["attempt"], first["worker"]) == ("job failed", 7, 4294967297, "w1")
    assert (first["level"], first["server"]) == ("info", "server-1")
    assert first["timestamp"].endswith("Z")
    assert "ValueError: as it happens" in second["exception"]
    assert third["event"] == "from a library"


@pytest.mark.parametrize("as_json", [True, False])
def test_secrets_are_hidden_wherever_they_stand(tmp_path: Path, as_json: bool) -> None:
    logs.configure(tmp_path / "log", json=as_json)
    given: dict[str, Any] = {
        "token": "hunter2-hunter2-hunter2",
        "error": "cannot reach postgresql://grid:hunter2@db.example/grid: no route",
        "what": f"seed {SEED}",
        "header": "Authorization: Bearer hunter2",
    }
    structlog.get_logger().warning("nats://w1:hunter2@127.0.0.1:4222 is away", **given)
    written = (tmp_path / "log").read_text()
    assert "hunter2" not in written
    assert SEED not in written
    assert "@db.example/grid" in written
    assert "127.0.0.1:4222" in written


def test_text_cannot_move_a_cursor(tmp_path: Path) -> None:
    logs.configure(tmp_path / "log")
    structlog.get_logger().info("job failed", job=1, message="\x1b[2J\nforged line")
    (line,) = (tmp_path / "log").read_text().splitlines()
    assert "\x1b" not in line
