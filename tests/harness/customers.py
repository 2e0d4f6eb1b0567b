"""Customers of a suite: each has runs done one by one, by the client that `pentad run` is too."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from harness.builders import ask, writer
from harness.suite import Kit, until

from pentad.gateway.v1.run_service_pb2 import WaitRunRequest
from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.run_pb2 import Run, RunStatus
from pentad_chassis.clock import random_id
from pentad_chassis.errors import ServiceError
from pentad_cli.follow import follow
from pentad_cli.persist import may_pass, persist

_Answer = TypeVar("_Answer")

LINES = 3
"""What each run writes down, by a tool that must not be repeated."""

_WAIT_S = 5.0
_PATIENCE_S = 60.0


class Customers:
    """Some load on a suite, and what those who make it have seen."""

    def __init__(self, kit: Kit, name: str) -> None:
        self._kit = kit
        self._name = name
        self._stopping = False
        self.done: list[Run] = []
        """The runs that have ended."""
        self.streams: list[list[Event]] = []
        """The events of those that somebody followed."""
        self.errors: list[ServiceError] = []
        """All that calls ended with, and were repeated after."""

    @asynccontextmanager
    async def working(self, count: int) -> AsyncIterator[None]:
        """Have so many at it while the block runs; leaving waits for the runs in hand."""
        await self._kit.apply(writer(self._name, LINES))
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                group.create_task(self._work(self._follow if number % 2 else self._wait))
            try:
                yield
            finally:
                self._stopping = True

    async def more(self, count: int) -> None:
        """Return once so many more runs have ended."""
        wanted = len(self.done) + count

        async def enough() -> bool:
            return len(self.done) >= wanted

        await until(enough, _PATIENCE_S, f"{count} more runs end")

    def check(self, notebooks: Path) -> None:
        """Fail unless every run has come to a good end, was seen whole, and wrote each line once.

        What calls were refused with in between has to be what a client may repeat.
        """
        assert [error for error in self.errors if not may_pass(error)] == []
        states = {run.status.state for run in self.done}
        assert states == {RunStatus.STATE_COMPLETED}, [run.status for run in self.done]
        for events in self.streams:
            seqs = [event.seq for event in events if not event.HasField("text_delta")]
            assert seqs == list(range(1, len(seqs) + 1)), "each event once"
            assert events[-1].HasField("run_completed")
        (notebook,) = notebooks.glob(f"*/{self._name}.txt")
        lines = notebook.read_text("utf-8").splitlines()
        marks = [line.rpartition(" [")[2] for line in lines]
        assert len(set(marks)) == len(marks), "no line twice"
        assert len(lines) == LINES * len(self.done), "none missing"

    async def _work(self, see_through: Callable[[Run], Awaitable[Run]]) -> None:
        while not self._stopping:
            run = await self._call(partial(self._kit.create, ask(self._name), random_id()))
            async with asyncio.timeout(_PATIENCE_S):
                self.done.append(await see_through(run))

    async def _follow(self, run: Run) -> Run:
        stream = follow(self._kit.client, run.run_id, known=True)
        self.streams.append([event async for event in stream])
        return await self._call(partial(self._kit.get, run.run_id))

    async def _wait(self, run: Run) -> Run:
        request = WaitRunRequest(run_id=run.run_id)
        request.timeout.FromSeconds(int(_WAIT_S))

        async def once() -> Run:
            return (await self._kit.client.runs.WaitRun(request, timeout=2 * _WAIT_S)).run

        while not run.HasField("end_time"):
            run = await self._call(once)
        return run

    async def _call(self, call: Callable[[], Awaitable[_Answer]]) -> _Answer:
        async def noted() -> _Answer:
            try:
                return await call()
            except ServiceError as error:
                self.errors.append(error)
                raise

        return await persist(noted)
