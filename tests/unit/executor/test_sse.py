from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pentad_executor.sse import EventReader

STREAM = (
    b": a comment\n\n"
    b'event: message_start\ndata: {"a": 1}\n\n'
    b'data:{"b": 2}\r\n\r\n'
    b"id: 7\nretry: 5\n\n"
    b"data: first\ndata: \xc3\xa9second\n\n\n"
    b"data:\n\n"
    b"data: [DONE]\n\n"
    b"data: without its end\n"
)
EVENTS = [b'{"a": 1}', b'{"b": 2}', b"first\n\xc3\xa9second", b"", b"[DONE]"]


def test_events_are_the_data_between_blank_lines() -> None:
    assert EventReader().feed(STREAM) == EVENTS


@given(st.lists(st.integers(0, len(STREAM)), max_size=12).map(sorted))
def test_however_a_stream_is_cut_its_events_are_the_same(cuts: list[int]) -> None:
    reader = EventReader()
    edges = [0, *cuts, len(STREAM)]

    found = [reader.feed(STREAM[a:b]) for a, b in pairwise(edges)]

    assert [event for events in found for event in events] == EVENTS


def test_an_event_leaves_as_soon_as_it_is_whole() -> None:
    reader = EventReader()

    assert reader.feed(b"data: 1\n") == []
    assert reader.feed(b"\ndata: 2") == [b"1"]
    assert reader.feed(b"\n\n") == [b"2"]


@pytest.mark.parametrize("line", [b"data: x", b"x", b"data: x\n"])
def test_an_event_without_end_is_given_up(line: bytes) -> None:
    reader = EventReader()
    megabyte = line * (1024 * 1024 // len(line))
    for _ in range(3):
        assert reader.feed(megabyte) == []

    with pytest.raises(ValueError, match="no end"):
        reader.feed(megabyte * 2)
