"""Server-sent events: the same events, however the bytes are cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wasmgrid.sdk.sse import Event, EventParser

line_text = st.text(alphabet=st.characters(blacklist_characters="\r\n\0", blacklist_categories=["Cs"]), max_size=20)
event_type = st.text(alphabet="abcdefgh-", min_size=1, max_size=8)
event = st.builds(
    Event, event_type, st.lists(line_text, min_size=1, max_size=3).map("\n".join), st.text("0123456789-", max_size=6)
)


def written(events: list[Event], newline: str) -> bytes:
    """The events as a server writes them, with comments between."""
    text = ""
    for each in events:
        lines = [f"event: {each.type}", f"id: {each.id}", *(f"data: {line}" for line in each.data.split("\n"))]
        text += newline.join([": still here", "", *lines, "", ""])
    return text.encode()


@given(st.lists(event, max_size=5), st.sampled_from(["\n", "\r\n", "\r"]), st.lists(st.integers(0, 400), max_size=12))
def test_any_cut_gives_the_same_events(events: list[Event], newline: str, cuts: list[int]) -> None:
    stream = written(events, newline)
    parser = EventParser()
    found: list[Event] = []
    start = 0
    for cut in [*sorted(min(cut, len(stream)) for cut in cuts), len(stream)]:
        found += parser.feed(stream[start:cut])
        start = cut
    assert found == events


@given(st.lists(st.binary(max_size=50), max_size=8))
def test_garbage_never_breaks_it(chunks: list[bytes]) -> None:
    parser = EventParser()
    for chunk in chunks:
        for found in parser.feed(chunk):
            assert isinstance(found, Event)


def test_fields_as_the_standard_has_them() -> None:
    found = EventParser().feed(
        b"\xef\xbb\xbfdata:no space\ndata\nretry: 5\nunknown: x\n\nevent: lost\n\ndata: last\n\n"
    )
    assert found == [Event("message", "no space\n"), Event("message", "last")]


def test_an_unfinished_event_is_none() -> None:
    assert EventParser().feed(b"data: half\n") == []


def test_the_last_id_stays() -> None:
    found = EventParser().feed(b"id: 7\ndata: a\n\ndata: b\n\nid\ndata: c\n\n")
    assert [each.id for each in found] == ["7", "7", ""]
