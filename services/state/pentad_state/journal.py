"""How events are kept, and how they become what callers see."""

import hashlib
from collections.abc import Sequence

from google.protobuf.timestamp_pb2 import Timestamp

from pentad.state.v1.event_pb2 import Event, TextDelta
from pentad_state.bounds import check_count, invalid
from pentad_state.cursor import Position, to_cursor

STAMP = 13
"""Digits of the time that what was recorded begins with."""
TAG = 16
"""Letters behind that which tell the request that brought it."""
_EVENTS_MAX = 200
_NOT_APPENDED = frozenset({None, "text_delta", "run_created"})


def tag_of(append_id: str) -> str:
    """Return what marks the events of one append: 64 bits, compared at one place of a journal."""
    return hashlib.blake2b(append_id.encode(), digest_size=TAG // 2).hexdigest()


def to_kept(event: Event) -> bytes:
    """Return what is kept of an event; the rest follows from its place."""
    event.ClearField("run_id")
    event.ClearField("seq")
    event.ClearField("time")
    event.ClearField("cursor")
    return event.SerializeToString()


def check_kinds(field: str, events: Sequence[Event]) -> None:
    """Refuse events that are none, or that no owner appends."""
    check_count(field, len(events), _EVENTS_MAX)
    for i, event in enumerate(events):
        if event.WhichOneof("kind") in _NOT_APPENDED:
            raise invalid(f"{field}[{i}].kind", "must be one that is appended to a journal")


def from_kept(run_id: str, seq: int, kept: bytes) -> Event:
    """Return the event that stands at a place of a journal."""
    event = Event.FromString(kept[STAMP + TAG :])
    return stamped(event, run_id, seq, int(kept[:STAMP]))


def stamped(event: Event, run_id: str, seq: int, ms: int) -> Event:
    """Return the same event with what its place says about it."""
    event.run_id = run_id
    event.seq = seq
    event.time.FromMilliseconds(ms)
    event.cursor = to_cursor(run_id, seq)
    return event


def text_event(run_id: str, at: Position, turn: int, text: str, ms: int) -> Event:
    """Return the text of a turn behind a place; its `seq` is that of the event that began it."""
    end = at.offset + len(text.encode())
    return Event(
        run_id=run_id,
        seq=at.seq,
        time=to_time(ms),
        cursor=to_cursor(run_id, at.seq, end),
        text_delta=TextDelta(turn=turn, offset=at.offset, text=text),
    )


def turn_of(event: Event) -> int:
    """Return the number of the turn that an event begins; 0 when it begins none."""
    match event.WhichOneof("kind"):
        case "turn_started":
            return event.turn_started.turn
        case "turn_restarted":
            return event.turn_restarted.turn
        case _:
            return 0


def to_time(ms: int) -> Timestamp:
    """Return milliseconds since the epoch as a timestamp."""
    time = Timestamp()
    time.FromMilliseconds(ms)
    return time
