"""Filling a store quickly, past gateway and orchestrator.

What is recorded is what a real run left: its journal again, under other ids, in as many calls to
the state service as an orchestrator makes. Through the whole suite a hundred thousand runs would
take minutes, and leave the same behind, with the traces of some.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from google.protobuf.duration_pb2 import Duration

from bench.inside import Inside, simple
from bench.load import CALL_S, WrongAnswer
from bench.work import ANSWER, QUESTION
from pentad.gateway.v1.run_service_pb2 import (
    CreateRunRequest as NewRunRequest,
)
from pentad.gateway.v1.run_service_pb2 import (
    GetRunRequest,
    TailRunRequest,
    WaitRunRequest,
)
from pentad.state.v1.event_pb2 import Event, RunCreated
from pentad.state.v1.message_pb2 import Message
from pentad.state.v1.run_pb2 import Run, RunStatus
from pentad.state.v1.run_service_pb2 import AppendEventsRequest, Claim, CreateRunRequest
from pentad.state.v1.run_service_pb2_grpc import RunServiceStub
from pentad.state.v1.session_service_pb2 import AppendMessagesRequest
from pentad.state.v1.session_service_pb2_grpc import SessionServiceStub

if TYPE_CHECKING:
    from pentad.state.v1.run_service_pb2_grpc import RunServiceAsyncStub
    from pentad.state.v1.session_service_pb2_grpc import SessionServiceAsyncStub

_IN_FLIGHT = 128
_MESSAGES_AT_ONCE = 100
_FAR_S = 24 * 3600
_EXCHANGE = (
    Message(role=Message.ROLE_USER, text=QUESTION),
    Message(role=Message.ROLE_ASSISTANT, text=ANSWER),
)


@dataclass(frozen=True, slots=True)
class Fill:
    """Records what is to be there already."""

    runs: "RunServiceAsyncStub"
    sessions: "SessionServiceAsyncStub"
    model: Run
    """A run that was performed; what is recorded is like it."""
    journal: Sequence[Event]

    @classmethod
    async def over(cls, suite: Inside) -> Self:
        """Return what fills the store of a suite, after one run of its own."""
        created = await suite.runs.CreateRun(
            NewRunRequest(spec=simple()), metadata=suite.metadata, timeout=CALL_S
        )
        run_id = created.run.run_id
        wait = WaitRunRequest(run_id=run_id)
        await suite.runs.WaitRun(wait, metadata=suite.metadata, timeout=CALL_S)
        tail = suite.runs.TailRun(
            TailRunRequest(run_id=run_id), metadata=suite.metadata, timeout=CALL_S
        )
        events = [event async for response in tail for event in response.events]
        kept = [event for event in events if not event.HasField("text_delta")]
        got = await suite.runs.GetRun(
            GetRunRequest(run_id=run_id), metadata=suite.metadata, timeout=CALL_S
        )
        if not kept[-1].HasField("run_completed"):
            raise WrongAnswer(f"the run to be recorded again ended with {kept[-1]}")
        return cls(RunServiceStub(suite.state), SessionServiceStub(suite.state), got.run, kept)

    async def ended_runs(self, first: int, last: int) -> None:
        """Record runs that have ended, numbered from `first` up to but without `last`."""
        await _each(range(first, last), self._ended_run)

    async def waiting_runs(self, first: int, last: int) -> list[str]:
        """Record runs whose start is a day ahead, and return their ids."""
        run_ids: list[str] = []
        starts_s = int(time.time()) + _FAR_S

        async def wait(number: int) -> None:
            created = RunCreated()
            created.CopyFrom(self.journal[0].run_created)
            created.spec.start_time.FromSeconds(starts_s)
            request = CreateRunRequest(request_id=f"waiting{number}", created=created)
            run_ids.append((await self.runs.CreateRun(request, timeout=CALL_S)).run.run_id)

        await _each(range(first, last), wait)
        return run_ids

    async def sessions_of(self, names: Sequence[str], messages: int) -> None:
        """Record sessions that hold so many messages each."""

        async def talk(number: int) -> None:
            for begun in range(0, messages, _MESSAGES_AT_ONCE):
                count = min(_MESSAGES_AT_ONCE, messages - begun)
                request = AppendMessagesRequest(
                    tenant=self.model.tenant,
                    session_id=names[number],
                    append_id=str(begun),
                    messages=[_EXCHANGE[i % 2] for i in range(count)],
                )
                await self.sessions.AppendMessages(request, timeout=CALL_S)

        await _each(range(len(names)), talk)

    async def _ended_run(self, number: int) -> None:
        created, *others = self.journal
        begun = [event for event in others if event.HasField("run_started")]
        rest = others[len(begun) :]
        response = await self.runs.CreateRun(
            CreateRunRequest(
                request_id=f"ended{number}",
                created=created.run_created,
                claim=Claim(owner="bench", lease=Duration(seconds=60)),
                begun=begun,
                status=RunStatus(state=RunStatus.STATE_RUNNING),
            ),
            timeout=CALL_S,
        )
        await self.runs.AppendEvents(
            AppendEventsRequest(
                lease=response.claimed.lease,
                expected_seq=1 + len(begun),
                append_id="end",
                events=rest,
                status=self.model.status,
            ),
            timeout=CALL_S,
        )


async def _each(numbers: range, work: Callable[[int], Awaitable[None]]) -> None:
    """Do something with each number, many at a time."""
    left = iter(numbers)

    async def some() -> None:
        for number in left:
            await work(number)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(_IN_FLIGHT):
            tasks.create_task(some())
