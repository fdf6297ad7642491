"""Whatever comes in is a request or an error of ours; whatever a program prints arrives as it was."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.server.bench import AUTHORISED, TOKEN

from wasmgrid.core.errors import WasmgridError
from wasmgrid.core.job import JobSpec
from wasmgrid.core.limits import Ceiling
from wasmgrid.server import strict_json, submission
from wasmgrid.server.guards import Gate
from wasmgrid.server.log_frames import FRAME_BYTES, frame, parse_event_id

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["c", "/in/x", "0" * 64]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
specs = st.dictionaries(st.sampled_from([*JobSpec.__struct_fields__, "nonsense"]), values, max_size=6)


@given(st.binary() | specs.map(lambda spec: json.dumps(spec).encode()))
def test_any_bytes_are_a_spec_or_an_error_of_ours(body: bytes) -> None:
    with contextlib.suppress(WasmgridError):
        submission.check(spec := strict_json.decode(body, JobSpec), Ceiling())
        assert math.isfinite(spec.cpus)
        assert math.isfinite(spec.time_limit_s)


@given(st.binary(max_size=400), st.integers(1, 50), st.integers(1, 50))
def test_output_arrives_as_it_was_however_it_is_cut(data: bytes, piece: int, window: int) -> None:
    """Live in pieces, read through a window that ends anywhere; the rest, once it is over, in one go."""
    arrived, offset, printed = b"", 0, 0
    while printed < len(data):
        printed = min(len(data), printed + piece)
        events, (offset, _) = frame(1, (offset, 0), data[offset : min(printed, offset + window)], b"")
        arrived += bytes_of(events)
        assert len(arrived) == offset
    while offset < len(data):
        events, (offset, _) = frame(1, (offset, 0), data[offset : offset + FRAME_BYTES], b"", final=True)
        arrived += bytes_of(events)
    assert arrived == data


def bytes_of(events: bytes) -> bytes:
    """What a reader of these events has in hand."""
    out = b""
    for line in events.decode().split("\n"):
        if line.startswith("data: "):
            said: dict[str, Any] = json.loads(line[6:])
            out += base64.b64decode(said["base64"]) if "base64" in said else said["data"].encode()
    return out


@given(st.text())
def test_any_last_event_id_is_one_or_none(text: str) -> None:
    seen = parse_event_id(text)
    assert seen is None or seen[0] >= 0


@given(
    st.lists(
        st.tuples(st.sampled_from([b"host", b"origin", b"authorization", b"sec-fetch-site"]), st.binary(max_size=40)),
        max_size=5,
    )
)
def test_no_headers_but_the_right_ones_pass_the_gate(headers: list[tuple[bytes, bytes]]) -> None:
    async def nothing(*_: object) -> None: ...

    class NoSessions:
        async def holds(self, cookies: str) -> bool:
            return False

    sessions: Any = NoSessions()
    gate = Gate(nothing, token=TOKEN, sessions=sessions, allowed_hosts=["127.0.0.1"], on_activity=lambda: None)
    right = AUTHORISED["Authorization"].encode()
    scope: Any = {"type": "http", "method": "GET", "path": "/v1/jobs", "headers": headers}
    if (b"authorization", right) not in headers or (b"host", b"127.0.0.1") not in headers:
        assert asyncio.run(gate._refusal(scope)) is not None
    good = [(b"host", b"127.0.0.1:3030"), (b"authorization", right)]
    assert asyncio.run(gate._refusal(scope | {"headers": good})) is None
