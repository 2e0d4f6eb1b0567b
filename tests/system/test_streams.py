"""Streams: from every cursor each later event comes once, and the text is whole."""

from collections import defaultdict

import pytest
from harness.builders import agent, answer, ask
from harness.suite import Kit, example_spec, kinds

from pentad.gateway.v1.run_service_pb2 import ExecuteRunRequest
from pentad.state.v1.event_pb2 import Event
from pentad_chassis.channel import reading

pytestmark = pytest.mark.system


def journalled(events: list[Event]) -> list[int]:
    return [e.seq for e in events if e.WhichOneof("kind") != "text_delta"]


async def test_a_tail_from_every_cursor_gives_each_later_event_once(kit: Kit) -> None:
    events = await kit.execute(example_spec("ticket-report"))
    run_id = events[0].run_id
    whole = journalled(events)
    assert whole == list(range(1, len(whole) + 1))

    for event in events[::4]:
        rest = await kit.tail(run_id, after=event.cursor)

        assert journalled(rest) == [seq for seq in whole if seq > event.seq]
        assert len({e.cursor for e in rest}) == len(rest)


async def test_a_tail_without_cursor_begins_with_the_first_event(kit: Kit) -> None:
    events = await kit.execute(ask("clock"))

    again = await kit.tail(events[0].run_id)

    assert kinds(again) == kinds(events)
    assert again[0].WhichOneof("kind") == "run_created"


async def test_a_tail_behind_the_last_event_ends_at_once(kit: Kit) -> None:
    events = await kit.execute(ask("clock"))

    assert await kit.tail(events[0].run_id, after=events[-1].cursor) == []


async def test_text_comes_in_pieces_that_join_to_the_turns_text(kit: Kit) -> None:
    poem = " ".join(f"wörd{n}" for n in range(200))
    await kit.apply(agent("poet", answer(poem)))

    events = await kit.execute(ask("poet"))

    pieces: defaultdict[int, str] = defaultdict(str)
    for event in events:
        if event.HasField("text_delta"):
            delta = event.text_delta
            assert delta.offset == len(pieces[delta.turn].encode()), "no gap and no overlap"
            pieces[delta.turn] += delta.text
        if event.HasField("turn_completed"):
            turn = event.turn_completed
            assert turn.message.text.startswith(pieces[turn.turn])
    assert events[-1].run_completed.output == poem


async def test_a_caller_that_leaves_does_not_stop_the_run(kit: Kit) -> None:
    request = ExecuteRunRequest(spec=example_spec("ticket-report"))
    async with reading(kit.client.runs.ExecuteRun(request, timeout=30)) as responses:
        first = (await anext(responses)).events[-1]

    events = await kit.tail(first.run_id, after=first.cursor)

    assert kinds(events)[-1] == "run_completed"
    assert journalled(events)[0] == first.seq + 1
