"""The suite itself, started as an operator starts it, on the work, through its public API."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from bench.load import CALL_S, Run, System, WrongAnswer
from bench.processes import family, free_address
from bench.site import Site
from bench.start import Metadata, open_plain_suite, until_done
from bench.work import ANSWER, QUESTION, STEPS, TOKENS, Work
from pentad.gateway.v1.agent_service_pb2 import CreateAgentRequest
from pentad.gateway.v1.agent_service_pb2_grpc import AgentServiceStub
from pentad.gateway.v1.run_service_pb2 import CreateRunRequest, ExecuteRunRequest, WaitRunRequest
from pentad.gateway.v1.run_service_pb2_grpc import RunServiceStub
from pentad.state.v1.agent_pb2 import Agent, Rule
from pentad.state.v1.run_pb2 import MultiStepWorkflow, RunSpec, Step
from pentad_allinone.layout import SERVICES
from pentad_chassis.channel import open_channel
from pentad_chassis.config import Settings
from pentad_chassis.telemetry import silent_telemetry

if TYPE_CHECKING:
    from pentad.gateway.v1.run_service_pb2_grpc import RunServiceAsyncStub

Perform = Callable[["RunServiceAsyncStub", RunSpec, Metadata], Awaitable[None]]

_CLERK = Agent(name="clerk", model="rules:clerk", rules=[Rule(name="reply", answer=ANSWER)])
_TALKER = Agent(name="talker", model="openai:talker")
_STEPS = [Step(name=f"step{number}", input=QUESTION) for number in range(1, STEPS + 1)]
_TEXT = "".join(TOKENS)

_SIMPLE = RunSpec(agent=_CLERK.name, input=QUESTION)
_IN_STEPS = RunSpec(agent=_CLERK.name, input=QUESTION, multi_step=MultiStepWorkflow(steps=_STEPS))
_STREAM = RunSpec(agent=_TALKER.name, input=QUESTION)

UNLINKED = {f"PENTAD_{service.upper()}_LINK": "false" for service in SERVICES}
"""The variables of a suite whose services carry each call by itself."""


@asynccontextmanager
async def open_suite(
    site: Site,
    name: str,
    perform: Perform,
    *,
    processes: bool,
    variables: Mapping[str, str | Path] | None = None,
    linked: bool = False,
) -> AsyncIterator[System]:
    """Run a suite while the block runs, on one process or five, with these variables.

    Its client makes each call by itself, or has all of them `linked`.
    """
    options = ("--processes",) if processes else ()
    all_variables = {"OPENAI_BASE_URL": site.model_url, **(variables or {})}
    address = free_address()
    async with open_plain_suite(site.data, *options, variables=all_variables, address=address) as (
        channel,
        metadata,
        pid,
    ):
        agents, runs = AgentServiceStub(channel), RunServiceStub(channel)

        async def begin() -> None:
            for agent in (_CLERK, _TALKER):
                request = CreateAgentRequest(agent=agent, request_id=agent.name)
                await agents.CreateAgent(request, metadata=metadata, timeout=CALL_S)
            await perform(runs, _SIMPLE, metadata)

        await until_done(begin, ())  # the gateway serves before all that it calls do
        if not linked:
            yield System(name, _works(runs, perform, metadata), family(pid))
            return
        says, settings = silent_telemetry("bench"), Settings(link=True)
        async with open_channel("gateway", address, settings, says, metadata=metadata) as link:
            yield System(name, _works(RunServiceStub(link), perform, ()), family(pid))


def _works(runs: "RunServiceAsyncStub", perform: Perform, metadata: Metadata) -> Mapping[Work, Run]:
    return {
        Work.SIMPLE: lambda: perform(runs, _SIMPLE, metadata),
        Work.STEPS: lambda: perform(runs, _IN_STEPS, metadata),
        Work.STREAM: lambda: _stream(runs, metadata),
    }


async def execute(runs: "RunServiceAsyncStub", spec: RunSpec, metadata: Metadata) -> None:
    """Perform a run by one call that streams its events."""
    output = ""
    async for response in runs.ExecuteRun(
        ExecuteRunRequest(spec=spec), timeout=CALL_S, **_under(metadata)
    ):
        output = response.events[-1].run_completed.output
    _check(output)


async def create_and_wait(runs: "RunServiceAsyncStub", spec: RunSpec, metadata: Metadata) -> None:
    """Perform a run by a call that starts it and a call that waits for its end."""
    created = await runs.CreateRun(CreateRunRequest(spec=spec), timeout=CALL_S, **_under(metadata))
    waited = await runs.WaitRun(
        WaitRunRequest(run_id=created.run.run_id), timeout=CALL_S, **_under(metadata)
    )
    _check(waited.run.status.output)


def _check(output: str) -> None:
    if output != ANSWER:
        raise WrongAnswer(f"a run of the suite ended with {output!r}")


async def _stream(runs: "RunServiceAsyncStub", metadata: Metadata) -> float:
    """Perform a run that streams, and return when its text began.

    A client that is behind receives the rest of a turn's text with its end, instead of in pieces.
    """
    streamed, output, first = "", "", 0.0
    async for response in runs.ExecuteRun(
        ExecuteRunRequest(spec=_STREAM), timeout=CALL_S, **_under(metadata)
    ):
        for event in response.events:
            match event.WhichOneof("kind"):
                case "turn_started" | "turn_restarted":
                    streamed = ""
                case "text_delta":
                    first = first or time.perf_counter()
                    streamed += event.text_delta.text
                case "run_completed":
                    first = first or time.perf_counter()
                    output = event.run_completed.output
    if output != _TEXT or not _TEXT.startswith(streamed):
        raise WrongAnswer(f"a stream of the suite ended with {output!r} after {streamed!r}")
    return first


class _Options(TypedDict, total=False):
    metadata: Metadata


def _under(metadata: Metadata) -> _Options:
    """Return the options of a call under a key; a link has its own, and takes no other."""
    return {"metadata": metadata} if metadata else {}


VIA: Mapping[str, Perform] = {"execute": execute, "wait": create_and_wait}
"""The ways of performing a run that does not stream, by their name on the command line."""
