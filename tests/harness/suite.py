"""A whole suite under test: started as users start it, spoken to as users speak to it."""

import asyncio
import contextlib
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
import yaml
from google.protobuf.json_format import ParseDict
from harness.processes import command_of, is_alive, tree_of
from pydantic import SecretStr

from pentad.gateway.v1.agent_service_pb2 import CreateAgentRequest, UpdateAgentRequest
from pentad.gateway.v1.run_service_pb2 import (
    CreateRunRequest,
    ExecuteRunRequest,
    GetRunRequest,
    TailRunRequest,
    WaitRunRequest,
)
from pentad.state.v1.agent_pb2 import Agent
from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.run_pb2 import Run, RunSpec
from pentad_chassis.channel import reading
from pentad_chassis.errors import AlreadyExists
from pentad_cli.connection import Client, Connection, open_client

ROOT = Path(__file__).parents[2]
PLUGIN = Path(__file__).parent / "plugin"
START_S = 60.0
RUN_S = 60.0
STOP_S = 40.0

Topology = Literal["one", "five"]
TOPOLOGIES: tuple[Topology, ...] = ("one", "five")

ALONE = {
    f"PENTAD_{service}_LINK": "false"
    for service in ("GATEWAY", "ORCHESTRATOR", "EXECUTOR", "TOOLS", "STATE")
}
"""Calls between services go by themselves instead of over links."""

TRANSPORTS = (
    pytest.param(True, id="link"),
    pytest.param(False, id="alone", marks=pytest.mark.long),
)
"""Whether services are joined by links, for fixtures of tests that hold on either."""

BOTH_TRANSPORTS = (*TOPOLOGIES, pytest.param("five-alone", marks=pytest.mark.long))
"""Likewise, for the suite that tests share."""

UNHURRIED = {"PENTAD_GATEWAY_MAX_QUEUE_S": "60", "PENTAD_ORCHESTRATOR_MAX_QUEUE_S": "60"}
"""Tests share their processor with whatever else runs: no service is to refuse runs for that."""


@dataclass(frozen=True)
class Kit:
    """The public API of a suite, with what most tests do with it."""

    client: Client

    async def apply(self, *agents: Agent) -> None:
        """Create the agents, or update those that exist."""
        for agent in agents:
            try:
                await self.client.agents.CreateAgent(CreateAgentRequest(agent=agent))
            except AlreadyExists:
                await self.client.agents.UpdateAgent(UpdateAgentRequest(agent=agent))

    async def create(self, spec: RunSpec, request_id: str = "") -> Run:
        """Start a run."""
        request = CreateRunRequest(spec=spec, request_id=request_id)
        return (await self.client.runs.CreateRun(request)).run

    async def get(self, run_id: str) -> Run:
        """Return a run as it stands."""
        return (await self.client.runs.GetRun(GetRunRequest(run_id=run_id))).run

    async def execute(self, spec: RunSpec, request_id: str = "") -> list[Event]:
        """Start a run and return all its events once it has ended."""
        request = ExecuteRunRequest(spec=spec, request_id=request_id)
        async with reading(self.client.runs.ExecuteRun(request, timeout=RUN_S)) as responses:
            return [event async for response in responses for event in response.events]

    async def tail(self, run_id: str, after: str = "") -> list[Event]:
        """Return a run's events behind `after` once it has ended."""
        return [event async for event in self.events(run_id, after)]

    async def events(self, run_id: str, after: str = "") -> AsyncIterator[Event]:
        """Yield a run's events as they come."""
        request = TailRunRequest(run_id=run_id, after=after)
        async with reading(self.client.runs.TailRun(request, timeout=RUN_S)) as responses:
            async for response in responses:
                for event in response.events:
                    yield event

    async def wait(self, run_id: str) -> Run:
        """Return the run once it has ended."""
        request = WaitRunRequest(run_id=run_id)
        request.timeout.FromSeconds(int(RUN_S))
        run = (await self.client.runs.WaitRun(request, timeout=RUN_S + 5)).run
        assert run.HasField("end_time"), f"run {run_id} has not ended: {run.status}"
        return run


class Suite:
    """`pentad up` as a child process, in either topology, or with several of some services."""

    def __init__(
        self,
        topology: Topology,
        data_dir: Path,
        environment: dict[str, str] | None = None,
        replicas: str = "",
    ) -> None:
        self.topology = topology
        self._replicas = ("--replicas", replicas) if replicas else ()
        self.data_dir = data_dir
        self.address = f"127.0.0.1:{free_port()}"
        self.log = data_dir.with_name(f"{data_dir.name}.log")
        self._environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("PENTAD_", "OPENAI_"))},
            "PYTHONPATH": os.pathsep.join([str(PLUGIN), os.environ.get("PYTHONPATH", "")]),
            "PENTAD_TOOLS_DATA_DIR": str(ROOT / "examples" / "data"),
            **UNHURRIED,
            **(environment or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._tether = -1

    @property
    def notebooks(self) -> Path:
        """The folder that holds what runs wrote down."""
        return self.data_dir / "notebooks"

    @property
    def key(self) -> str:
        """The first key."""
        return (self.data_dir / "api-key").read_text("utf-8").strip()

    def start(self) -> None:
        """Start, and return once the suite is ready."""
        processes = ["--processes"] if self.topology == "five" else []
        # Tethered, so that no suite outlives a test process, however that one ends.
        tethered, self._tether = os.pipe()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "pentad_allinone.tether", "pentad_cli", str(tethered)),
                    *("up", *processes, *self._replicas),
                    *("--data-dir", str(self.data_dir), "--address", self.address),
                ],
                env=self._environment,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                pass_fds=(tethered,),
            )
        os.close(tethered)
        try:
            wait_for_line(self._process, b"ready at", START_S)
        except AssertionError as failed:
            self.kill9()
            raise AssertionError(f"{failed}\nIts log:\n{self.tail_of_log()}") from None

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Stop as Ctrl-C does, or on another signal, and return the exit code."""
        process = self._running()
        children = tree_of(process.pid)
        process.send_signal(number)
        try:
            code = process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill9()
            raise
        self._forget()
        assert not [pid for pid in children if is_alive(pid)], "a child outlived the suite"
        return code

    def pids(self) -> list[int]:
        """Return the processes of the suite, the one that was started first."""
        process = self._running()
        return [process.pid, *tree_of(process.pid)]

    def kill9(self, pids: Sequence[int] = ()) -> None:
        """Kill every process at once, the supervisor first so that it cannot react.

        Looking for them takes longer than many a run; `pids` are those found before.
        """
        process = self._running()
        for pid in pids or self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait(STOP_S)
        self._forget()

    def kill9_supervisor(self) -> list[int]:
        """Kill only the process that was started; return its children, that must follow it."""
        process = self._running()
        children = tree_of(process.pid)
        process.kill()
        process.wait(STOP_S)
        self._forget()
        return children

    def kill9_child(self, pid: int) -> None:
        """Kill one process of the suite."""
        self.signal_child(pid, signal.SIGKILL)

    def signal_child(self, pid: int, number: signal.Signals) -> None:
        """Send a signal to one process of the suite."""
        assert pid in tree_of(self._running().pid), "only what this suite started"
        os.kill(pid, number)

    def restart(self) -> None:
        """Start again on the same data."""
        assert self._process is None, "the suite runs"
        self.start()

    @property
    def is_running(self) -> bool:
        """Whether the process that was started still runs."""
        return self._process is not None and self._process.poll() is None

    def children(self, word: str) -> list[int]:
        """Return the processes of the suite whose command line holds a word."""
        return [p for p in tree_of(self._running().pid) if word in command_of(p)]

    @asynccontextmanager
    async def open(self, key: str | None = None) -> AsyncIterator[Kit]:
        """Connect to the public API."""
        connection = Connection(address=self.address, api_key=SecretStr(key or self.key))
        async with open_client(connection) as client:
            yield Kit(client)

    def pentad(
        self, *arguments: str, environment: dict[str, str] | None = None, given: str = ""
    ) -> "subprocess.CompletedProcess[str]":
        """Run the `pentad` command against this suite."""
        return subprocess.run(
            [sys.executable, "-m", "pentad_cli", *arguments],
            env={
                **self._environment,
                "PENTAD_ADDRESS": self.address,
                "PENTAD_API_KEY_FILE": str(self.data_dir / "api-key"),
                **(environment or {}),
            },
            cwd=ROOT,
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=RUN_S,
        )

    def tail_of_log(self) -> str:
        """Return the end of what the services logged."""
        return self.log.read_text("utf-8", errors="replace")[-4000:] if self.log.exists() else ""

    def _running(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None, "the suite was not started"
        return self._process

    def _forget(self) -> None:
        process = self._running()
        assert process.stdout is not None
        process.stdout.close()
        os.close(self._tether)
        self._process = None


def example_agents() -> list[Agent]:
    """Return the agents that the examples ship."""
    documents: list[Agent] = []
    for path in sorted((ROOT / "examples" / "agents").glob("*.yaml")):
        documents += [ParseDict(d, Agent()) for d in yaml.safe_load_all(path.read_text("utf-8"))]
    return documents


def example_spec(name: str) -> RunSpec:
    """Return a workflow that the examples ship."""
    path = ROOT / "examples" / "workflows" / f"{name}.yaml"
    return ParseDict(yaml.safe_load(path.read_text("utf-8")), RunSpec())


async def until(
    condition: Callable[[], Awaitable[bool]], timeout_s: float = 20.0, what: str = "condition"
) -> None:
    """Return as soon as the condition holds, or fail after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not await condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        await asyncio.sleep(0.05)


def kinds(events: Sequence[Event]) -> list[str]:
    """Return the journalled events by name, text deltas left out."""
    found = [event.WhichOneof("kind") or "" for event in events]
    return [kind for kind in found if kind != "text_delta"]


def free_port() -> int:
    """Return a port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_line(process: "subprocess.Popen[bytes]", words: bytes, timeout_s: float) -> bytes:
    """Return the output of a process up to the line that holds the words."""
    assert process.stdout is not None
    deadline = time.monotonic() + timeout_s
    seen = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while not (words in seen and seen.endswith(b"\n")):
            assert selector.select(max(0.0, deadline - time.monotonic())), f"only got {seen!r}"
            piece = os.read(process.stdout.fileno(), 65536)
            assert piece, f"ended after {seen!r}"
            seen += piece
    return seen
