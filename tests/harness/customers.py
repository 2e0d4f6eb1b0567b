"""Customers of a suite: each has runs done one by one, and repeats what may be repeated."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from harness.builders import ask, writer
from harness.suite import Kit, until

from pentad.gateway.v1.run_service_pb2 import WaitRunRequest
from pentad.state.v1.run_pb2 import Run, RunStatus
from pentad_chassis.clock import random_id
from pentad_chassis.errors import ResourceExhausted, ServiceError, Unavailable

_Answer = TypeVar("_Answer")

LINES = 3
"""What each run writes down, by a tool that must not be repeated."""

_PAUSE_S = 0.05
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
        self.errors: list[ServiceError] = []
        """All that calls ended with, and were repeated after."""

    @asynccontextmanager
    async def working(self, count: int) -> AsyncIterator[None]:
        """Have so many at it while the block runs; leaving waits for the runs in hand."""
        await self._kit.apply(writer(self._name, LINES))
        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(self._work())
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
        """Fail unless every run has come to a good end, and wrote each line once."""
        states = {run.status.state for run in self.done}
        assert states == {RunStatus.STATE_COMPLETED}, [run.status for run in self.done]
        (notebook,) = notebooks.glob(f"*/{self._name}.txt")
        lines = notebook.read_text("utf-8").splitlines()
        marks = [line.rpartition(" [")[2] for line in lines]
        assert len(set(marks)) == len(marks), "no line twice"
        assert len(lines) == LINES * len(self.done), "none missing"

    async def _work(self) -> None:
        while not self._stopping:
            run = await self._persist(partial(self._kit.create, ask(self._name), random_id()))
            while not run.HasField("end_time"):
                run = await self._persist(partial(self._wait, run.run_id))
            self.done.append(run)

    async def _wait(self, run_id: str) -> Run:
        request = WaitRunRequest(run_id=run_id)
        request.timeout.FromSeconds(int(_WAIT_S))
        return (await self._kit.client.runs.WaitRun(request, timeout=2 * _WAIT_S)).run

    async def _persist(self, call: Callable[[], Awaitable[_Answer]]) -> _Answer:
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                try:
                    return await call()
                except (Unavailable, ResourceExhausted) as error:
                    self.errors.append(error)
                    await asyncio.sleep(error.retry_after_s or _PAUSE_S)
