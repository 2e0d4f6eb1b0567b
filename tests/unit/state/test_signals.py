"""Announcements are heard, and a dead connection for them is noticed and replaced."""

import asyncio
from collections.abc import Callable

import pytest
from harness.engines import ask, running_engine

from pentad_chassis.telemetry import silent_telemetry
from pentad_state import signals as module
from pentad_state.connection import Address
from pentad_state.signals import Signals
from pentad_state.waiting import running


class Notes:
    """Takes down what it hears."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.gaps = 0

    def heard(self, message: bytes) -> None:
        self.messages.append(message)

    def missed(self) -> None:
        self.gaps += 1


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came to be")


async def test_each_channel_has_its_listener() -> None:
    with running_engine("valkey") as url:
        work, runs = Notes(), Notes()
        signals = Signals(Address(url), {"work": work, "runs": runs}, silent_telemetry("state"))
        async with running(signals.serve()):
            await until(lambda: work.gaps == 1 and runs.gaps == 1)
            ask(url, "PUBLISH", "pentad:work", "ready 07")
            ask(url, "PUBLISH", "pentad:runs", "r1")
            ask(url, "PUBLISH", "other", "x")
            await until(lambda: bool(work.messages and runs.messages))

        assert (work.messages, runs.messages) == ([b"ready 07"], [b"r1"])


async def test_a_lost_connection_is_replaced_and_its_gap_is_told() -> None:
    with running_engine("valkey") as url:
        work = Notes()
        signals = Signals(Address(url), {"work": work}, silent_telemetry("state"))
        async with running(signals.serve()):
            await until(lambda: work.gaps == 1)
            ask(url, "CLIENT", "KILL", "TYPE", "pubsub")
            await until(lambda: work.gaps == 2)
            ask(url, "PUBLISH", "pentad:work", "again")
            await until(lambda: work.messages == [b"again"])


async def test_a_silent_connection_is_asked_and_then_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_SILENCE_S", 0.4)
    with running_engine("valkey") as url:
        work = Notes()
        signals = Signals(Address(url), {"work": work}, silent_telemetry("state"))
        async with running(signals.serve()):
            await until(lambda: work.gaps == 1)
            await asyncio.sleep(1.0)
            assert work.gaps == 1  # it answers when it is asked
            ask(url, "CLIENT", "PAUSE", 1500, "ALL")  # as mute as a dead one
            await until(lambda: work.gaps >= 2)
