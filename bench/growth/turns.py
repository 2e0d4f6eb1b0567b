"""One long run: what a turn adds to journal and store, and what it takes, the later it comes.

Many tool calls, each of which returns some thousand bytes. A rule fires once a step, so that the
run has a few steps; the words that a model is sent grow within each.
"""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import redis

from bench.load import CALL_S, WrongAnswer
from bench.processes import family
from bench.start import Metadata, open_plain_suite
from bench.usage import cpu_s
from pentad.gateway.v1.agent_service_pb2 import CreateAgentRequest
from pentad.gateway.v1.agent_service_pb2_grpc import AgentServiceStub
from pentad.gateway.v1.run_service_pb2 import ExecuteRunRequest
from pentad.gateway.v1.run_service_pb2_grpc import RunServiceStub
from pentad.state.v1.agent_pb2 import Agent, Limits, Rule, RuleCall
from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.run_pb2 import MultiStepWorkflow, RunSpec, Step

if TYPE_CHECKING:
    from pentad.gateway.v1.run_service_pb2_grpc import RunServiceAsyncStub

_RUN_S = 600.0
_CALLS_A_STEP = 99
"""An agent has at most 100 rules, and one of them answers."""
_BYTES_A_TOKEN = 4
_ROW_BYTES = 200
_BIN = 20
"""Turns taken together, about."""


@dataclass(slots=True)
class Turn:
    """What one turn added, with the tool call that it asked for."""

    number: int
    seq: int
    begun_s: float
    """By the store's clock."""
    engine_bytes: int
    """What the run takes in the engine, as it began."""
    cpu_s: float
    """Processor time that the suite and its engine had used."""
    context_bytes: int
    """What its model was sent of the turns before."""
    journal_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Look:
    """Looks at the engine and at the processes, from outside."""

    engine: redis.Redis
    processes: Mapping[str, int]

    def turn(self, number: int, event: Event, context_bytes: int) -> Turn:
        """Return a turn as it begins."""
        held = sum(
            self.engine.memory_usage(_key(kind, event.run_id), samples=0) or 0
            for kind in ("journal", "effects", "run")
        )
        used_s = sum(cpu_s(self.processes).values())
        return Turn(number, event.seq, _time_s(event), held, used_s, context_bytes)

    def weigh(self, run_id: str, turns: Sequence[Turn]) -> None:
        """Note what each turn added to the journal."""
        journal = self.engine.lrange(_key("journal", run_id), 0, -1)
        for turn, after in pairwise(turns):
            turn.journal_bytes = sum(map(len, journal[turn.seq - 1 : after.seq - 1]))


@dataclass(frozen=True, slots=True)
class Bin:
    """Some turns that follow one another, and the mean of each measure over them."""

    last: int
    """Number of the last turn."""
    events: int
    """What the journal held behind it."""
    journal_bytes: float
    engine_bytes: float
    cpu_ms: float
    ms: float
    """The median: what else the machine does falls on some turns."""
    sent_bytes: float
    """To its model, of the turns before."""


async def measure_turns(folder: Path, calls: int, tokens: int) -> list[Bin]:
    """Perform a run of so many tool calls that return so much in all."""
    data = folder / "data"
    data.mkdir(mode=0o700)
    _write_table(folder / "rows.csv", tokens * _BYTES_A_TOKEN // calls)
    async with open_plain_suite(data, "--files", folder) as (channel, metadata, pid):
        runs, agents = RunServiceStub(channel), AgentServiceStub(channel)
        agent = CreateAgentRequest(agent=_agent(calls), request_id="growth")
        await agents.CreateAgent(agent, metadata=metadata, timeout=CALL_S)
        socket = (data / "state" / "engine.socket").read_text("utf-8")
        with redis.Redis(unix_socket_path=socket) as engine:
            look = Look(engine, family(pid))
            return list(_binned(await _watched(runs, metadata, look, calls)))


def _binned(turns: Sequence[Turn]) -> Iterator[Bin]:
    pairs = list(pairwise(turns))
    bins = max(1, round(len(pairs) / _BIN))
    edges = [len(pairs) * each // bins for each in range(bins + 1)]
    for first, last in pairwise(edges):
        some = pairs[first:last]
        begin, end = some[0][0], some[-1][1]
        yield Bin(
            last=last,
            events=end.seq - 1,
            journal_bytes=statistics.fmean(turn.journal_bytes for turn, _ in some),
            engine_bytes=(end.engine_bytes - begin.engine_bytes) / len(some),
            cpu_ms=1e3 * (end.cpu_s - begin.cpu_s) / len(some),
            ms=1e3 * statistics.median(b.begun_s - a.begun_s for a, b in some),
            sent_bytes=statistics.fmean(turn.context_bytes for turn, _ in some),
        )


async def _watched(
    runs: "RunServiceAsyncStub", metadata: Metadata, look: Look, calls: int
) -> list[Turn]:
    """Perform the run and return its turns; the first of a step and its answer are among them."""
    turns: list[Turn] = []
    context_bytes, event = 0, Event()
    request = ExecuteRunRequest(spec=_spec(calls))
    async for response in runs.ExecuteRun(request, metadata=metadata, timeout=_RUN_S):
        for event in response.events:
            match event.WhichOneof("kind"):
                case "turn_started":
                    turns.append(look.turn(len(turns) + 1, event, context_bytes))
                case "turn_completed" | "tool_call_completed":
                    context_bytes += event.ByteSize()
                case "step_completed":
                    context_bytes = 0
    if not event.HasField("run_completed"):
        raise WrongAnswer(f"the run ended with {event}")
    turns.append(look.turn(0, event, 0))
    look.weigh(event.run_id, turns)
    return turns


def _agent(calls: int) -> Agent:
    """Return an agent that reads the table again and again, and then answers."""
    arguments = {"file": "rows.csv"}
    rules = []
    for number in range(min(calls, _CALLS_A_STEP)):
        call = RuleCall(tool="csv_query")
        call.arguments.update(arguments)
        # The step's input says how many calls it makes, by a word for each.
        rules.append(Rule(name=f"call{number}", input_pattern=rf"\bc{number}\b", call=call))
    rules.append(Rule(name="answer", answer="read"))
    limits = Limits(max_turns=1000, max_tool_calls=10_000)
    return Agent(
        name="growth", model="rules:growth", rules=rules, tools=["csv_query"], limits=limits
    )


def _spec(calls: int) -> RunSpec:
    steps = -(-calls // _CALLS_A_STEP)
    counts = [calls // steps + (number < calls % steps) for number in range(steps)]
    return RunSpec(
        agent="growth",
        input="read",
        multi_step=MultiStepWorkflow(
            steps=[
                Step(name=f"step{number}", input=" ".join(f"c{n}" for n in range(count)))
                for number, count in enumerate(counts)
            ]
        ),
    )


def _write_table(path: Path, size: int) -> None:
    """Write a table whose rows, as JSON, make about so many bytes."""
    rows = max(1, size // (_ROW_BYTES + len('{"text":""},')))
    path.write_text("text\n" + f"{'word ' * (_ROW_BYTES // 5)}\n" * rows, encoding="utf-8")


def _key(kind: str, run_id: str) -> str:
    return f"pentad:{{p{run_id[:2]}}}:{kind}:{run_id}"


def _time_s(event: Event) -> float:
    return event.time.seconds + event.time.nanos / 1e9
