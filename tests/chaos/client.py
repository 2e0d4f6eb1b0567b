"""Clients as they should be: they repeat what got no answer, and take up streams that broke."""

import asyncio
import random
from collections.abc import AsyncIterator

from chaos.agents import wish
from chaos.book import Book, Entry
from chaos.persistence import AGAIN, CALL_S, Deadline, persist
from chaos.person import Person
from chaos.stream import Stream

from pentad.gateway.v1.run_service_pb2 import (
    CancelRunRequest,
    CreateRunRequest,
    ExecuteRunRequest,
    ExecuteRunResponse,
    PauseRunRequest,
    TailRunRequest,
    TailRunResponse,
)
from pentad_chassis.channel import reading
from pentad_chassis.errors import ServiceError, Unavailable
from pentad_cli.connection import Client

_STREAM_S = 8.0
_BREATH_S = 0.02
_TWICE, _EXECUTED, _PAUSED, _CANCELLED, _LEAVING = 0.15, 0.25, 0.06, 0.06, 0.02


class Caller:
    """Has one run after the other, and follows each to its end."""

    def __init__(self, client: Client, book: Book, person: Person, name: str, seed: int) -> None:
        self._client = client
        self._book = book
        self._person = person
        self._name = name
        self._rng = random.Random(f"{seed}/{name}")  # noqa: S311 - a seed that repeats is the point

    async def work(self, until: Deadline, bound: Deadline) -> None:
        """Ask for runs until then, and follow the last one no longer than the bound."""
        number = 0
        while until.left_s:
            number += 1
            entry = self._book.note(f"{self._name}-{number}", wish(self._rng))
            try:
                async with asyncio.timeout(bound.left_s):
                    await self._see_through(entry, bound)
            except* TimeoutError:
                until = bound  # which is over; the judge finds out what is the matter
            except* ServiceError as group:
                for error in leaves(group):
                    what = f"{error.reason}: {error.message}"
                    self._book.errors.append(f"{entry.request_id} {entry.run_id}: {what}")

    async def _see_through(self, entry: Entry, bound: Deadline) -> None:
        chance = self._rng.random()
        if chance < _EXECUTED:
            await self._execute(entry, bound)
        else:
            await self._create(entry, bound, twice=chance < _EXECUTED + _TWICE)
        stream = entry.stream
        assert stream is not None, "it was accepted"
        async with asyncio.TaskGroup() as group:
            meddling = group.create_task(self._meddle(entry, bound))
            await self._follow(entry, stream, bound)
            meddling.cancel()

    async def _create(self, entry: Entry, bound: Deadline, *, twice: bool) -> None:
        request = CreateRunRequest(spec=entry.spec, request_id=entry.request_id)

        async def once() -> None:
            response = await persist(
                bound, lambda: self._client.runs.CreateRun(request, timeout=CALL_S)
            )
            self._book.accepted(entry, response.run.run_id)

        await asyncio.gather(*(once() for _ in range(1 + twice)))

    async def _execute(self, entry: Entry, bound: Deadline) -> None:
        """Create and follow in one call, for as long as that one lasts."""
        request = ExecuteRunRequest(spec=entry.spec, request_id=entry.request_id)

        async def once() -> None:
            call = self._client.runs.ExecuteRun(request, timeout=_STREAM_S)
            async with reading(call) as responses:
                try:
                    await self._read(entry, responses)
                except AGAIN:
                    if entry.stream is None:
                        raise
            if entry.stream is None:
                raise Unavailable("a gateway that drains ended the stream before it began")

        await persist(bound, once)

    async def _follow(self, entry: Entry, stream: Stream, bound: Deadline) -> None:
        async def once() -> None:
            request = TailRunRequest(run_id=stream.run_id, after=stream.cursor)
            async with reading(self._client.runs.TailRun(request, timeout=_STREAM_S)) as responses:
                await self._read(entry, responses)

        while not stream.ended:
            await self._person.see_to(self._client, entry, bound)
            await persist(bound, once)
            await asyncio.sleep(_BREATH_S)

    async def _read(
        self, entry: Entry, responses: AsyncIterator[ExecuteRunResponse | TailRunResponse]
    ) -> None:
        """Take what comes until the stream ends, or somebody has to see to the run."""
        async for response in responses:
            for event in response.events:
                stream = self._book.accepted(entry, event.run_id)
                stream.take(event)
                leaves = self._rng.random() < _LEAVING
                if stream.ended or leaves or event.HasField("run_paused"):
                    return

    async def _meddle(self, entry: Entry, bound: Deadline) -> None:
        """Now and then have the run paused or cancelled."""
        chance = self._rng.random()
        await asyncio.sleep(self._rng.uniform(0.0, 1.0))
        runs, run_id = self._client.runs, entry.run_id
        if chance < _PAUSED:
            entry.pause_asked = True
            pause = PauseRunRequest(run_id=run_id, reason=entry.request_id)
            await persist(bound, lambda: runs.PauseRun(pause, timeout=CALL_S))
        elif chance < _PAUSED + _CANCELLED:
            entry.cancel_asked = True
            cancel = CancelRunRequest(run_id=run_id, reason=entry.request_id)
            await persist(bound, lambda: runs.CancelRun(cancel, timeout=CALL_S))


def leaves(group: ExceptionGroup[ServiceError]) -> list[ServiceError]:
    """Return the errors in a group of groups."""
    found: list[ServiceError] = []
    for error in group.exceptions:
        found += leaves(error) if isinstance(error, ExceptionGroup) else [error]
    return found
