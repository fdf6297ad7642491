"""What a server is asked for and cannot be: refused at once, in words, before anything is started."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from wasmgrid.core.errors import InvalidField
from wasmgrid.home import Home
from wasmgrid.server.process import ServeOptions, serve


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"listen": "203.0.113.77"}, "cannot listen on '203.0.113.77': "),
        ({"listen": "no.such.name.invalid"}, "cannot listen on 'no.such.name.invalid': "),
        ({"host": "0.0.0.0"}, "without TLS"),  # noqa: S104 -- refused
        ({"lease_s": 0.0}, "the lease cannot be 0 s, 2 s is the least"),
        ({"lease_s": float("nan")}, "the lease cannot be nan"),
        ({"fabric_port": 4222}, "--fabric-port is where"),
        ({"fabric_port": 4222, "listen": "127.0.0.1", "nats_url": "nats://127.0.0.1:1"}, "--fabric-port is where"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(tmp_path: Path, asked: dict[str, Any], said: str) -> None:
    home = Home(tmp_path / "home")
    with pytest.raises(InvalidField) as refused:
        asyncio.run(serve(ServeOptions(home=home, **asked)))
    assert said in refused.value.message
    assert not home.path.exists()
