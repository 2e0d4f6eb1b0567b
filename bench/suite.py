"""The suite itself, started as an operator starts it, and a simple run through its public API."""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from bench.load import CALL_S, System, WrongAnswer
from bench.processes import family, free_address, running
from bench.start import until_served
from pentad.gateway.v1.agent_service_pb2 import CreateAgentRequest
from pentad.gateway.v1.agent_service_pb2_grpc import AgentServiceStub
from pentad.gateway.v1.run_service_pb2 import CreateRunRequest, ExecuteRunRequest, WaitRunRequest
from pentad.gateway.v1.run_service_pb2_grpc import RunServiceStub
from pentad.state.v1.agent_pb2 import Agent, Rule
from pentad.state.v1.run_pb2 import RunSpec

if TYPE_CHECKING:
    from pentad.gateway.v1.run_service_pb2_grpc import RunServiceAsyncStub

Metadata = tuple[tuple[str, str], ...]
Run = Callable[["RunServiceAsyncStub", Metadata], Awaitable[None]]

_ANSWER = "Your order is on its way."
_AGENT = Agent(name="bench", model="rules:bench", rules=[Rule(name="reply", answer=_ANSWER)])
_SPEC = RunSpec(agent=_AGENT.name, input="Where is my order?")


@asynccontextmanager
async def open_suite(folder: Path, run: Run, *, processes: bool) -> AsyncIterator[System]:
    """Run a suite that holds one agent while the block runs; it keeps its data in `folder`."""
    address, key_file = free_address(), folder / "api-key"
    command: tuple[str | Path, ...]
    command = (sys.executable, "-m", "pentad_allinone", "--address", address, "--data-dir", folder)
    if processes:
        command = (*command, "--processes")
    with running(command, folder.with_suffix(".log")) as suite:
        async with grpc.aio.insecure_channel(address) as channel:
            runs, agents = RunServiceStub(channel), AgentServiceStub(channel)

            async def run_once() -> None:
                await run(runs, _credentials(key_file))

            async def begin() -> None:
                request = CreateAgentRequest(agent=_AGENT, request_id=_AGENT.name)
                await agents.CreateAgent(request, metadata=_credentials(key_file), timeout=CALL_S)
                await run_once()

            await until_served(begin, (suite,))
            name = "five processes" if processes else "one process"
            yield System(name, run_once, family(suite.pid))


async def execute(runs: "RunServiceAsyncStub", metadata: Metadata) -> None:
    """Perform a run by one call that streams its events."""
    output = ""
    async for response in runs.ExecuteRun(
        ExecuteRunRequest(spec=_SPEC), metadata=metadata, timeout=CALL_S
    ):
        output = response.event.run_completed.output
    _check(output)


async def create_and_wait(runs: "RunServiceAsyncStub", metadata: Metadata) -> None:
    """Perform a run by a call that starts it and a call that waits for its end."""
    created = await runs.CreateRun(CreateRunRequest(spec=_SPEC), metadata=metadata, timeout=CALL_S)
    waited = await runs.WaitRun(
        WaitRunRequest(run_id=created.run.run_id), metadata=metadata, timeout=CALL_S
    )
    _check(waited.run.status.output)


@cache
def _credentials(key_file: Path) -> Metadata:
    return (("authorization", f"Bearer {key_file.read_text(encoding='utf-8').strip()}"),)


def _check(output: str) -> None:
    if output != _ANSWER:
        raise WrongAnswer(f"a run of the suite ended with {output!r}")


VIA: Mapping[str, Run] = {"execute": execute, "wait": create_and_wait}
"""The ways of performing a run, by their name on the command line."""
