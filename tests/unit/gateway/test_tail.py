"""A tail outlives the streams it is read from, and gives up where that makes no sense."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.run_service_pb2 import TailRunRequest, TailRunResponse
from pentad_chassis.clock import FakeClock
from pentad_chassis.errors import CircuitOpen, NotFound, ServiceError, Unavailable
from pentad_gateway import tail
from pentad_gateway.tail import PATIENCE_S, Patience, follow

if TYPE_CHECKING:
    from pentad.state.v1.run_service_pb2_grpc import RunServiceAsyncStub

EVENTS = [Event(seq=n, cursor=f"c{n}") for n in range(1, 13)]
QUESTION = TailRunRequest(tenant="acme", run_id="1")


class Stream:
    """One answer of the state service: some events, then how it ends."""

    def __init__(self, events: list[Event], end: ServiceError | None, *, hangs: bool) -> None:
        self._responses = self._play(events, end, hangs=hangs)
        self.cancelled = False

    def __aiter__(self) -> AsyncIterator[TailRunResponse]:
        return self._responses

    def cancel(self) -> bool:
        self.cancelled = True
        return True

    async def _play(
        self, events: list[Event], end: ServiceError | None, *, hangs: bool
    ) -> AsyncIterator[TailRunResponse]:
        for start in range(0, len(events), 2):
            yield TailRunResponse(events=events[start : start + 2])
        if hangs:
            await asyncio.Event().wait()
        if end is not None:
            raise end


class Runs:
    """A journal whose streams break after as many events as `breaks` says, then hold."""

    def __init__(self, breaks: list[int], *, hangs: bool = False) -> None:
        self.breaks = breaks
        self.hangs = hangs
        self.asked: list[str] = []
        self.streams: list[Stream] = []

    def TailRun(self, request: TailRunRequest, timeout: float) -> Stream:
        assert timeout > 0
        assert (request.tenant, request.run_id) == ("acme", "1")
        self.asked.append(request.after)
        rest = EVENTS[int(request.after[1:] or 0) if request.after else 0 :]
        if self.breaks:
            count = self.breaks.pop(0)
            end = None if self.hangs else Unavailable("gone")
            self.streams.append(Stream(rest[:count], end, hangs=self.hangs))
        else:
            self.streams.append(Stream(rest, None, hangs=False))
        return self.streams[-1]


async def collect(runs: Runs, clock: FakeClock, question: TailRunRequest = QUESTION) -> list[int]:
    followed = follow(cast("RunServiceAsyncStub", runs), question, clock)
    async with aclosing(followed) as batches:
        return [event.seq async for events in batches for event in events]


@pytest.fixture(autouse=True)
def _no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "_BACKOFF_S_MAX", 0.0)


@given(st.lists(st.integers(0, 5), max_size=6), st.integers(0, 12))
def test_breaks_leave_no_gap_and_no_repeat(breaks: list[int], seen: int) -> None:
    runs = Runs(list(breaks))
    question = TailRunRequest(tenant="acme", run_id="1", after=f"c{seen}" if seen else "")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tail, "_BACKOFF_S_MAX", 0.0)
        got = asyncio.run(collect(runs, FakeClock(), question))

    assert got == list(range(seen + 1, 13))
    assert all(stream.cancelled for stream in runs.streams)


async def test_an_error_that_is_no_break_ends_the_tail() -> None:
    class Empty(Runs):
        def TailRun(self, request: TailRunRequest, timeout: float) -> Stream:
            self.asked.append(request.after)
            return Stream([], NotFound("no such run"), hangs=timeout < 0)

    runs = Empty([])
    with pytest.raises(NotFound):
        await collect(runs, FakeClock())
    assert runs.asked == [""]


async def test_a_stream_is_left_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """A silent one, too: it is read with what is left of the time, which is little here."""
    monkeypatch.setattr("pentad_gateway.tail.STREAM_S", 0.2)
    clock = FakeClock()
    runs = Runs([2, 2], hangs=True)
    got = []
    async with aclosing(follow(cast("RunServiceAsyncStub", runs), QUESTION, clock)) as batches:
        async for events in batches:
            got += [event.seq for event in events]
            clock.advance(0.1)

    assert got == list(range(1, 13))
    assert runs.asked == ["", "c2", "c4"]


async def test_leaving_a_tail_leaves_the_stream() -> None:
    runs = Runs([])
    async with aclosing(follow(cast("RunServiceAsyncStub", runs), QUESTION, FakeClock())) as events:
        await anext(events)

    assert runs.streams[0].cancelled


def spend_until_it_is_over(patience: Patience, clock: FakeClock) -> Iterator[float]:
    error = Unavailable("gone")
    while True:
        try:
            yield patience.spend(error)
        except Unavailable:
            return
        clock.advance(1)


def test_patience_ends_when_attempts_fail_for_too_long() -> None:
    clock = FakeClock()
    patience = Patience(clock)

    assert len(list(spend_until_it_is_over(patience, clock))) == PATIENCE_S


def test_progress_renews_patience() -> None:
    clock = FakeClock()
    patience = Patience(clock)
    for _ in range(3):
        patience.spend(Unavailable("gone"))
        clock.advance(PATIENCE_S - 1)
        patience.renew()

    assert len(list(spend_until_it_is_over(patience, clock))) == PATIENCE_S


def test_a_wait_that_was_asked_for_is_kept() -> None:
    assert Patience(FakeClock()).spend(CircuitOpen("state", 1.5)) == 1.5
