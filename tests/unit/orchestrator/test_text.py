"""Text on its way to tails: in order, together, and never behind its turn."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from harness.fakes import fault, until

from pentad.state.v1.run_service_pb2 import AppendTextRequest, AppendTextResponse, Lease, TextPiece
from pentad_chassis.errors import Unavailable
from pentad_chassis.telemetry import silent_telemetry
from pentad_orchestrator import text as text_module
from pentad_orchestrator.loops import forever
from pentad_orchestrator.text import TextSink, TextStream

LOG = silent_telemetry("orchestrator").log


class Store:
    """Keeps pieces as they come, when it is let."""

    def __init__(self) -> None:
        self.requests: list[list[TextPiece]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.away = False

    async def AppendText(self, request: AppendTextRequest, **_: float) -> AppendTextResponse:
        self.requests.append(list(request.pieces))
        await self.gate.wait()
        if self.away:
            raise fault(Unavailable, "STORE_UNAVAILABLE")
        return AppendTextResponse()

    @property
    def texts(self) -> list[list[str]]:
        return [[piece.text for piece in pieces] for pieces in self.requests]


@asynccontextmanager
async def sending(store: Store, interval_s: float = 0.0) -> AsyncIterator[TextSink]:
    sink = TextSink(store, interval_s, LOG)  # type: ignore[arg-type]
    task = asyncio.create_task(forever(sink.send, what="text", log=LOG))
    try:
        yield sink
    finally:
        task.cancel()


def lease(run_id: str) -> Lease:
    return Lease(run_id=run_id, fence=1)


async def test_many_runs_share_a_call_and_pieces_of_one_are_joined() -> None:
    store = Store()
    async with (
        sending(store) as sink,
        sink.stream(lease("a"), 3, 1) as a,
        sink.stream(lease("b"), 5, 2) as b,
    ):
        a.write("é")
        a.write("l")
        b.write("x")
        await until(lambda: store.requests)
        a.write("o")
        await until(lambda: len(store.requests) == 2)

    assert store.texts == [["él", "x"], ["o"]]
    assert store.requests[1][0] == TextPiece(
        lease=lease("a"), turn_seq=3, turn=1, offset=3, text="o"
    )


async def test_text_that_began_to_be_shown_is_sent_to_its_end() -> None:
    store = Store()
    async with sending(store, interval_s=0.02) as sink:
        async with sink.stream(lease("a"), 3, 1) as stream:
            stream.write("one")
            await until(lambda: store.requests)
            stream.write(" two")
        assert store.texts == [["one"], [" two"]]


async def test_the_first_of_a_text_is_not_waited_with() -> None:
    store = Store()
    async with sending(store, interval_s=3600.0) as sink:
        a, b = (TextStream(sink, lease(run_id), 3, 1) for run_id in "ab")
        a.write("first")
        await until(lambda: store.requests)
        a.write(" of all")
        b.write("other")
        await until(lambda: len(store.requests) == 2)
        assert store.texts == [["first"], ["other"]]

        assert sink.holds(a)
        async with asyncio.timeout(10.0):
            await a.close()
        assert store.texts[2:] == [[" of all"]]


async def test_text_that_nobody_saw_comes_with_its_turn() -> None:
    store = Store()
    async with sending(store) as sink:
        async with sink.stream(lease("a"), 3, 1) as stream:
            stream.write("all of it")

        await asyncio.sleep(0)
        assert not stream.shown
        assert not sink.holds(stream)
        assert store.requests == []


async def test_the_end_of_a_turn_waits_for_pieces_on_their_way() -> None:
    store = Store()
    store.gate.clear()
    async with sending(store) as sink, asyncio.TaskGroup() as tasks:

        async def turn() -> None:
            async with sink.stream(lease("a"), 3, 1) as stream:
                stream.write("one")
                await until(lambda: store.requests)

        ended = tasks.create_task(turn())
        await until(lambda: store.requests)
        await asyncio.sleep(0)
        assert not ended.done()
        store.gate.set()


async def test_a_lost_piece_is_the_last_of_its_attempt() -> None:
    """A piece behind a gap would be taken for what it is not."""
    store = Store()
    store.away = True
    async with sending(store) as sink, sink.stream(lease("a"), 3, 1) as stream:
        stream.write("lost")
        await until(lambda: store.requests)
        await asyncio.sleep(0)
        store.away = False
        stream.write("behind it")
        async with sink.stream(lease("b"), 3, 1) as other:
            other.write("well")
            await until(lambda: len(store.requests) == 2)

    assert store.texts == [["lost"], ["well"]]


async def test_what_waits_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_module, "_WAITING_BYTES_MAX", 10)
    store = Store()
    sink = TextSink(store, 0.0, LOG)  # type: ignore[arg-type]
    async with sink.stream(lease("a"), 3, 1) as stream:
        stream.write("12345678")
        stream.write("9ab")
        assert not sink.holds(stream)
        stream.write("1")
        assert not sink.holds(stream)


async def test_a_call_holds_no_more_than_the_service_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_module, "_PIECES_MAX", 2)
    monkeypatch.setattr(text_module, "_REQUEST_BYTES_MAX", 4)
    store = Store()
    async with sending(store) as sink:
        for run_id, text in (("a", "1"), ("b", "2"), ("c", "34567"), ("d", "8"), ("e", "9")):
            TextStream(sink, lease(run_id), 3, 1).write(text)
        await until(lambda: len(store.requests) == 3)

    assert store.texts == [["1", "2"], ["34567"], ["8", "9"]]
