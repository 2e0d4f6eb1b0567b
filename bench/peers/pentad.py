"""The suite on the same work, through its public API."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from bench.load import CALL_S, WrongAnswer
from bench.peers.peer import (
    ANSWER,
    QUESTION,
    STEPS,
    TOKENS,
    Peer,
    Run,
    Site,
    Work,
    until_done,
    with_environment,
)
from bench.processes import family, free_address, running
from pentad.gateway.v1.agent_service_pb2 import CreateAgentRequest
from pentad.gateway.v1.agent_service_pb2_grpc import AgentServiceStub
from pentad.gateway.v1.run_service_pb2 import ExecuteRunRequest
from pentad.gateway.v1.run_service_pb2_grpc import RunServiceStub
from pentad.state.v1.agent_pb2 import Agent, Rule
from pentad.state.v1.run_pb2 import MultiStepWorkflow, RunSpec, Step

if TYPE_CHECKING:
    from pentad.gateway.v1.run_service_pb2_grpc import RunServiceAsyncStub

_CLERK = Agent(name="clerk", model="rules:clerk", rules=[Rule(name="reply", answer=ANSWER)])
_TALKER = Agent(name="talker", model="openai:talker")
_STEPS = [Step(name=f"step{number}", input=QUESTION) for number in range(1, STEPS + 1)]

_SIMPLE = RunSpec(agent=_CLERK.name, input=QUESTION)
_IN_STEPS = RunSpec(agent=_CLERK.name, input=QUESTION, multi_step=MultiStepWorkflow(steps=_STEPS))
_STREAM = RunSpec(agent=_TALKER.name, input=QUESTION)

Metadata = tuple[tuple[str, str], ...]


@asynccontextmanager
async def open_pentad(site: Site, *, processes: bool) -> AsyncIterator[Peer]:
    """Run a suite while the block runs."""
    address, key_file = free_address(), site.data / "api-key"
    suite = (sys.executable, "-m", "pentad_allinone", "--address", address, "--data-dir", site.data)
    command = with_environment(
        {"OPENAI_BASE_URL": site.model_url}, *suite, *(["--processes"] if processes else [])
    )
    with running(command, site.log("suite")) as server:
        async with grpc.aio.insecure_channel(address) as channel:
            runs, agents = RunServiceStub(channel), AgentServiceStub(channel)

            def run(spec: RunSpec, text: str) -> Run:
                return lambda: _perform(runs, spec, _credentials(key_file), text)

            simple = run(_SIMPLE, ANSWER)

            async def begin() -> None:
                for agent in (_CLERK, _TALKER):
                    request = CreateAgentRequest(agent=agent, request_id=agent.name)
                    metadata = _credentials(key_file)
                    await agents.CreateAgent(request, metadata=metadata, timeout=CALL_S)
                await simple()

            await until_done(begin, server)
            name = "Pentad five" if processes else "Pentad one"
            steps, stream = run(_IN_STEPS, ANSWER), run(_STREAM, "".join(TOKENS))
            work = {Work.SIMPLE: simple, Work.STEPS: steps, Work.STREAM: stream}
            yield Peer(name, work, family(server.pid))


async def _perform(
    runs: "RunServiceAsyncStub", spec: RunSpec, metadata: Metadata, text: str
) -> None:
    """Perform a run by one call that streams its events, and that must end with `text`.

    A client that is behind receives the rest of a turn's text with its end, instead of in pieces.
    """
    streamed, output = "", ""
    async for response in runs.ExecuteRun(
        ExecuteRunRequest(spec=spec), metadata=metadata, timeout=CALL_S
    ):
        event = response.event
        match event.WhichOneof("kind"):
            case "turn_started" | "turn_restarted":
                streamed = ""
            case "text_delta":
                streamed += event.text_delta.text
            case "run_completed":
                output = event.run_completed.output
    if output != text or not text.startswith(streamed):
        raise WrongAnswer(f"a run ended with {output!r} after {streamed!r}")


@cache
def _credentials(key_file: Path) -> Metadata:
    return (("authorization", f"Bearer {key_file.read_text(encoding='utf-8').strip()}"),)
