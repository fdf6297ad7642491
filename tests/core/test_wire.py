"""Every message comes back from the wire as it was sent; what is no message is refused and never ends a reader."""

from __future__ import annotations

import types
import typing
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wasmgrid.core import wire
from wasmgrid.core.errors import ProtocolMismatch
from wasmgrid.core.job import JobSpec, JobView, StoredSpec, TaskResult

MESSAGES: tuple[type[Any], ...] = typing.get_args(wire.Message)


def struct(kind: type[Any]) -> st.SearchStrategy[Any]:
    """Any instance of `kind`, drawn by its annotations: a field is covered from the day it is added."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return st.builds(kind, **{field: values(hints[field]) for field in kind.__struct_fields__})


def values(annotation: Any) -> st.SearchStrategy[Any]:
    """Values of an annotation, as far as they have a wire form (no NaN, 64-bit integers)."""
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return struct(annotation)
    if annotation is int:
        return st.integers(-(1 << 63), (1 << 64) - 1)
    if annotation is float:
        return st.floats(allow_nan=False)
    if annotation is Any:
        return st.none() | st.integers(-1000, 1000) | st.text(max_size=9)
    origin, of = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _constrained(of[0], of[1])
    if origin in {types.UnionType, typing.Union}:
        return st.one_of([values(member) for member in of])
    if origin is tuple:
        return st.tuples(*map(values, of))
    if origin is list:
        return st.lists(values(of[0]), max_size=3)
    if origin is dict:
        return st.dictionaries(values(of[0]), values(of[1]), max_size=3)
    return st.from_type(annotation)


def _constrained(kind: Any, meta: msgspec.Meta) -> st.SearchStrategy[Any]:
    if meta.pattern is not None:
        return st.from_regex(meta.pattern, fullmatch=True)
    if kind is str:
        return st.text(min_size=meta.min_length or 0, max_size=20)
    if kind is int:
        return st.integers(
            -(1 << 63) if meta.ge is None else int(meta.ge), (1 << 64) - 1 if meta.le is None else int(meta.le)
        )
    return values(kind)


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_every_message_comes_back_as_it_was_sent(kind: type[Any], data: st.DataObject) -> None:
    message = data.draw(struct(kind))
    assert wire.decode(wire.encode(message)) == message
    assert wire.decode_as(wire.encode(message), kind) == message


@pytest.mark.parametrize("kind", [StoredSpec, TaskResult], ids=lambda kind: kind.__name__)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_what_the_store_keeps_comes_back(kind: type[Any], data: st.DataObject) -> None:
    kept = data.draw(struct(kind))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(kept), type=kind) == kept


def test_every_message_has_a_tag_of_its_own() -> None:
    tags = [kind.__struct_config__.tag for kind in MESSAGES]
    assert len(set(tags)) == len(MESSAGES)


@given(st.binary(max_size=200))
def test_bytes_that_are_no_message_are_a_protocol_mismatch(noise: bytes) -> None:
    for frame in (noise, wire.encode(wire.ResultsAck(attempts=[1]))[:1] + noise):
        try:
            wire.decode(frame)
        except ProtocolMismatch:
            continue


@given(st.integers(1, 255).filter(lambda version: version != wire.PROTOCOL_VERSION))
def test_another_protocol_version_is_told_apart_from_garbage(version: int) -> None:
    frame = bytes([version]) + wire.encode(wire.ResultsAck(attempts=[]))[1:]
    with pytest.raises(ProtocolMismatch, match=f"version {version}") as caught:
        wire.decode(frame)
    assert caught.value.hint


@given(st.text(max_size=200))
def test_a_notice_is_read_by_every_version(words: str) -> None:
    with pytest.raises(ProtocolMismatch) as caught:
        wire.decode(wire.encode_notice(words))
    assert caught.value.message == words


def test_a_message_of_another_kind_than_expected_is_refused() -> None:
    with pytest.raises(ProtocolMismatch, match="expected Hello, got ResultsAck"):
        wire.decode_as(wire.encode(wire.ResultsAck(attempts=[])), wire.Hello)


def test_an_old_reader_takes_a_message_with_a_new_field() -> None:
    newer = msgspec.msgpack.encode({"type": "results_ack", "attempts": [7], "of_tomorrow": True})
    assert wire.decode(bytes([wire.PROTOCOL_VERSION]) + newer) == wire.ResultsAck(attempts=[7])


def test_a_request_with_an_unknown_key_is_refused_and_an_answer_with_one_is_not() -> None:
    with pytest.raises(msgspec.ValidationError, match="memory"):
        msgspec.json.decode(b'{"memory": 10}', type=JobSpec)
    assert not JobView.__struct_config__.forbid_unknown_fields
