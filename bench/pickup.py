"""`python -m bench.pickup`: how long work waits for somebody, on a suite that is idle.

Runs one after the other, each from the moment when it may be taken up to the moment when its owner
has journalled that it began, by the store's clock (of a resumed run: from the client's request).
The floor is what no schedule can do without: an announcement through the same engine, and a write
that is on the disk before it is answered. Compare ratios: absolute times do not travel.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import redis
import uvloop

from bench.load import CALL_S, WrongAnswer, percentile
from bench.processes import ROOT
from bench.start import Metadata, open_plain_suite
from pentad.gateway.v1.agent_service_pb2 import CreateAgentRequest
from pentad.gateway.v1.agent_service_pb2_grpc import AgentServiceStub
from pentad.gateway.v1.run_service_pb2 import (
    CreateRunRequest,
    GetRunRequest,
    PauseRunRequest,
    ResumeRunRequest,
    TailRunRequest,
)
from pentad.gateway.v1.run_service_pb2_grpc import RunServiceStub
from pentad.state.v1.agent_pb2 import Agent, Rule
from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.run_pb2 import Run, RunSpec, RunStatus

if TYPE_CHECKING:
    from pentad.gateway.v1.run_service_pb2_grpc import RunServiceAsyncStub

_OUT = ROOT / "bench" / "out"
_AGENT = Agent(name="idler", model="rules:idler", rules=[Rule(name="reply", answer="Done.")])
_AHEAD_S = 0.15
"""A start so far ahead is still to come when its run is recorded."""

_P99_MS_MOST = 100.0
_POLL_S = 0.002
_SLOWEST = 1.0

Pickup = Callable[["Suite"], Awaitable[float]]


@dataclass(frozen=True, slots=True)
class Suite:
    """The public API of an idle suite."""

    runs: "RunServiceAsyncStub"
    metadata: Metadata

    async def create(self, spec: RunSpec) -> Run:
        """Start a run."""
        request = CreateRunRequest(spec=spec)
        created = await self.runs.CreateRun(request, metadata=self.metadata, timeout=CALL_S)
        return created.run

    async def journal(self, run_id: str) -> list[Event]:
        """Return a run's events once it has ended."""
        call = self.runs.TailRun(
            TailRunRequest(run_id=run_id), metadata=self.metadata, timeout=CALL_S
        )
        events = [event async for response in call for event in response.events]
        if not events or not events[-1].HasField("run_completed"):
            raise WrongAnswer(f"run {run_id} ended otherwise")
        return events

    async def paused(self, run_id: str) -> None:
        """Return once a run rests."""
        give_up = time.monotonic() + CALL_S
        while time.monotonic() < give_up:
            request = GetRunRequest(run_id=run_id)
            found = await self.runs.GetRun(request, metadata=self.metadata, timeout=CALL_S)
            if found.run.status.state == RunStatus.STATE_PAUSED:
                return
        raise WrongAnswer(f"run {run_id} does not rest")


async def created(suite: Suite) -> float:
    """Have a run taken up as soon as it is accepted."""
    run = await suite.create(RunSpec(agent=_AGENT.name, input="now"))
    began, *_ = _starts(await suite.journal(run.run_id))
    return began - run.create_time.ToNanoseconds() / 1e9


async def due(suite: Suite) -> float:
    """Have a run taken up when its start comes, by whoever waits for work."""
    spec = RunSpec(agent=_AGENT.name, input="then")
    spec.start_time.FromMilliseconds(int((time.time() + _AHEAD_S) * 1000))
    run = await suite.create(spec)
    began, *_ = _starts(await suite.journal(run.run_id))
    return began - spec.start_time.ToNanoseconds() / 1e9


async def resumed(suite: Suite) -> float:
    """Have a run taken up that rested, once it is announced."""
    spec = RunSpec(agent=_AGENT.name, input="again")
    starts_s = time.time() + _AHEAD_S
    spec.start_time.FromMilliseconds(int(starts_s * 1000))
    run = await suite.create(spec)
    pause, resume = PauseRunRequest(run_id=run.run_id), ResumeRunRequest(run_id=run.run_id)
    await suite.runs.PauseRun(pause, metadata=suite.metadata, timeout=CALL_S)
    await suite.paused(run.run_id)
    while time.time() < starts_s + _POLL_S:
        await suite.paused(run.run_id)  # or it would go on only when its start comes
    asked_s = time.time()
    await suite.runs.ResumeRun(resume, metadata=suite.metadata, timeout=CALL_S)
    *_, began = _starts(await suite.journal(run.run_id))
    return began - asked_s


WAYS: Mapping[str, Pickup] = {
    "taken by who accepts it": created,
    "its start has come": due,
    "resumed": resumed,
}


def main() -> int:
    """Print the table; return 1 when one run in a hundred waits too long."""
    parser = argparse.ArgumentParser(prog="python -m bench.pickup", description=__doc__)
    parser.add_argument("--runs", type=int, default=200, help="of each kind (200)")
    parser.add_argument("--processes", action="store_true", help="five processes rather than one")
    arguments = parser.parse_args()
    measured = uvloop.run(_measured(arguments.runs, processes=arguments.processes))
    for line in _table(measured):
        print(line)
    slow = [name for name, waits in measured.items() if percentile(waits, 0.99) >= _P99_MS_MOST]
    for name in slow:
        sys.stderr.write(f"bench: p99 of {name!r} is not below {_P99_MS_MOST:g} ms\n")
    return int(bool(slow))


async def _measured(count: int, *, processes: bool) -> dict[str, list[float]]:
    _OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="pickup-", dir=_OUT) as folder:
        data = Path(folder) / "data"
        data.mkdir(mode=0o700)
        async with _open(data, processes=processes) as suite:
            socket = (data / "state" / "engine.socket").read_text("utf-8")
            with redis.Redis(unix_socket_path=socket) as engine:
                for take in WAYS.values():
                    await take(suite)
                waits: dict[str, list[float]] = {name: [] for name in ("the floor", *WAYS)}
                for _ in range(count):
                    waits["the floor"].append(1e3 * _floor(engine))
                    for name, take in WAYS.items():
                        waits[name].append(max(0.0, 1e3 * await take(suite)))
                return waits


@asynccontextmanager
async def _open(data: Path, *, processes: bool) -> AsyncIterator[Suite]:
    options = ("--processes",) if processes else ()
    async with open_plain_suite(data, *options) as (channel, metadata, _):
        agents = AgentServiceStub(channel)
        request = CreateAgentRequest(agent=_AGENT, request_id=_AGENT.name)
        await agents.CreateAgent(request, metadata=metadata, timeout=CALL_S)
        yield Suite(RunServiceStub(channel), metadata)


def _floor(engine: redis.Redis) -> float:
    """Return what it takes to announce something, to hear it, and to write something down."""
    pubsub = engine.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call] # theirs
    with pubsub as hearing:
        hearing.subscribe("floor")
        while hearing.get_message(timeout=CALL_S) is not None:
            pass
        began = time.perf_counter()
        engine.publish("floor", "work")
        while hearing.get_message(timeout=CALL_S) is None:
            pass
        engine.set("floor", "taken")
        return time.perf_counter() - began


def _starts(journal: Sequence[Event]) -> list[float]:
    """Return when each owner began, by the store's clock."""
    return [e.time.ToNanoseconds() / 1e9 for e in journal if e.HasField("run_started")]


def _table(waits: Mapping[str, Sequence[float]]) -> Iterator[str]:
    yield f"{'a run that is':<26}{'p50 ms':>9}{'p99 ms':>9}{'slowest':>9}{'p50 to the floor':>18}"
    floor = percentile(waits["the floor"], 0.5)
    for name, each in waits.items():
        shares = "".join(f"{percentile(each, share):>9.1f}" for share in (0.5, 0.99, _SLOWEST))
        yield f"{name:<26}{shares}{percentile(each, 0.5) / floor:>17.1f}x"


if __name__ == "__main__":
    sys.exit(main())
