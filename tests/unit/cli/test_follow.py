"""Following a run: each event once, across a gateway that comes and goes."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

import pentad_cli.follow
import pentad_cli.persist
from pentad.gateway.v1.run_service_pb2 import TailRunRequest, TailRunResponse
from pentad.state.v1.event_pb2 import Event, RunCompleted, TurnStarted
from pentad_chassis.errors import NotFound, Unavailable
from pentad_cli.connection import Client
from pentad_cli.follow import follow

EVENTS = [
    *(Event(seq=n, cursor=f"c{n}", turn_started=TurnStarted(turn=n)) for n in (1, 2, 3)),
    Event(seq=4, cursor="c4", run_completed=RunCompleted(output="done")),
]


class FakeStream:
    def __init__(self, events: list[Event], error: Exception | None) -> None:
        self._events = events
        self._error = error

    async def __aiter__(self) -> AsyncIterator[TailRunResponse]:
        for event in self._events:
            yield TailRunResponse(events=[event])
        if self._error:
            raise self._error

    def cancel(self) -> bool:
        return True


class FakeGateway:
    """Breaks a stream after as many events as the script says; then tells all."""

    def __init__(self, *script: tuple[int, Exception | None]) -> None:
        self._script = list(script)
        self.calls: list[str] = []

    def TailRun(self, request: TailRunRequest, timeout: float) -> Any:
        assert timeout > 0
        self.calls.append(request.after)
        seen = [e.cursor for e in EVENTS].index(request.after) + 1 if request.after else 0
        count, error = self._script.pop(0) if self._script else (len(EVENTS), None)
        return FakeStream(EVENTS[seen : seen + count], error)


async def followed(gateway: FakeGateway, *, known: bool = False) -> list[int]:
    client = cast("Client", SimpleNamespace(runs=gateway))
    return [event.seq async for event in follow(client, "r", known=known)]


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pentad_cli.follow, "_PAUSE_S", 0.0)
    monkeypatch.setattr(pentad_cli.persist, "_PAUSE_S", (0.0, 0.0))


async def test_a_broken_stream_continues_behind_the_last_event() -> None:
    gateway = FakeGateway((2, Unavailable("gone")), (0, Unavailable("still")), (1, None))

    assert await followed(gateway) == [1, 2, 3, 4]
    assert gateway.calls == ["", "c2", "c2", "c3"]


async def test_a_gateway_that_was_never_there_is_said_at_once() -> None:
    gateway = FakeGateway((0, Unavailable("gone")))

    with pytest.raises(Unavailable):
        await followed(gateway)
    assert len(gateway.calls) == 1


async def test_a_suite_that_is_known_is_waited_for_before_the_first_event() -> None:
    gateway = FakeGateway((0, Unavailable("gone")), (0, None))

    assert await followed(gateway, known=True) == [1, 2, 3, 4]


async def test_patience_ends() -> None:
    gateway = FakeGateway((1, None), *[(0, Unavailable("gone"))] * 99)

    with pytest.raises(Unavailable):
        await followed(gateway)
    assert len(gateway.calls) < 70


async def test_an_error_that_time_does_not_heal_is_said_at_once() -> None:
    gateway = FakeGateway((1, NotFound("no run 'r'")))

    with pytest.raises(NotFound):
        await followed(gateway)
