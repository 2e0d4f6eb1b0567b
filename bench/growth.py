"""`python -m bench.growth`: whether a long run's turns cost more the longer it gets.

One run of many tool calls, each of which returns some thousand bytes: what a turn adds to the
journal and to the engine's memory, and how long it takes, against the number of the turn. A rule
fires once a step, so that the run has a few steps; the words that a model is sent grow within each.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import redis
import uvloop

from bench.load import CALL_S, WrongAnswer
from bench.processes import ROOT, cpu_s, family
from bench.start import Metadata, open_plain_suite
from pentad.gateway.v1.agent_service_pb2 import CreateAgentRequest
from pentad.gateway.v1.agent_service_pb2_grpc import AgentServiceStub
from pentad.gateway.v1.run_service_pb2 import ExecuteRunRequest
from pentad.gateway.v1.run_service_pb2_grpc import RunServiceStub
from pentad.state.v1.agent_pb2 import Agent, Limits, Rule, RuleCall
from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.run_pb2 import MultiStepWorkflow, RunSpec, Step

if TYPE_CHECKING:
    from pentad.gateway.v1.run_service_pb2_grpc import RunServiceAsyncStub

_OUT = ROOT / "bench" / "out"
_RUN_S = 600.0
_CALLS_A_STEP = 99
"""An agent has at most 100 rules, and one of them answers."""
_BYTES_A_TOKEN = 4
_ROW_BYTES = 200
_BIN = 20
_FLAT = 0.05
"""Growth over 100 turns, as a part of the mean, that counts as none."""


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
class Growth:
    """How one measure goes with the number of the turn."""

    name: str
    form: str
    values: Sequence[float]
    is_ours: bool = True
    """Whether nothing but the suite has a part in it."""

    @property
    def mean(self) -> float:
        """The mean over all turns."""
        return statistics.fmean(self.values)

    @property
    def over_100_turns(self) -> float:
        """The slope of a straight line through all turns, as a part of the mean."""
        fit = statistics.linear_regression(range(len(self.values)), self.values)
        return 100 * fit.slope / self.mean


def main() -> int:
    """Print the curve; return 1 when journal or memory grow faster than the run."""
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description=__doc__)
    parser.add_argument("--calls", type=int, default=200, help="tool calls in the run (200)")
    parser.add_argument("--tokens", type=int, default=200_000, help="of text in all (200000)")
    arguments = parser.parse_args()
    turns = uvloop.run(_measured(arguments.calls, arguments.tokens))
    growths = _growths(turns)
    for line in (*_table(turns, growths), "", *map(_sentence, growths)):
        print(line)
    # Time is a matter of what else the machine does, and of the words that a model is sent.
    return int(any(growth.over_100_turns > _FLAT for growth in growths[:2]))


async def _measured(calls: int, tokens: int) -> list[Turn]:
    _OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="growth-", dir=_OUT) as folder:
        data = Path(folder) / "data"
        data.mkdir(mode=0o700)
        _write_table(Path(folder) / "rows.csv", tokens * _BYTES_A_TOKEN // calls)
        async with open_plain_suite(data, "--files", folder) as (channel, metadata, pid):
            runs, agents = RunServiceStub(channel), AgentServiceStub(channel)
            agent = CreateAgentRequest(agent=_agent(calls), request_id="growth")
            await agents.CreateAgent(agent, metadata=metadata, timeout=CALL_S)
            socket = (data / "state" / "engine.socket").read_text("utf-8")
            with redis.Redis(unix_socket_path=socket) as engine:
                look = Look(engine, family(pid))
                return await _watched(runs, metadata, look, calls)


async def _watched(
    runs: "RunServiceAsyncStub", metadata: Metadata, look: Look, calls: int
) -> list[Turn]:
    """Perform the run and return its turns; the first of a step and its answer are among them."""
    turns: list[Turn] = []
    context_bytes, event = 0, Event()
    request = ExecuteRunRequest(spec=_spec(calls))
    async for response in runs.ExecuteRun(request, metadata=metadata, timeout=_RUN_S):
        event = response.event
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


def _growths(turns: Sequence[Turn]) -> list[Growth]:
    pairs = list(pairwise(turns))
    return [
        Growth("journal", "{:,.0f} B", [turn.journal_bytes for turn, _ in pairs]),
        Growth("engine", "{:,.0f} B", [b.engine_bytes - a.engine_bytes for a, b in pairs]),
        Growth("CPU", "{:.1f} ms", [1e3 * (b.cpu_s - a.cpu_s) for a, b in pairs]),
        Growth(
            "time", "{:.1f} ms", [1e3 * (b.begun_s - a.begun_s) for a, b in pairs], is_ours=False
        ),
    ]


def _table(turns: Sequence[Turn], growths: Sequence[Growth]) -> Iterator[str]:
    journal, engine, cpu, time = (growth.values for growth in growths)
    titles = ("turns", "journal B/turn", "engine B/turn", "CPU ms/turn", "ms/turn")
    yield ("{:>9}" + "{:>16}" * 4 + "{:>20}").format(*titles, "sent to the model B")
    mean: Callable[[Sequence[float]], float] = statistics.fmean
    for first in range(0, len(time), _BIN):
        span = slice(first, first + _BIN)
        sent = mean([turn.context_bytes for turn in turns[:-1][span]])
        yield (
            f"{first + 1:>4}-{min(first + _BIN, len(time)):<4}{mean(journal[span]):>16,.0f}"
            f"{mean(engine[span]):>16,.0f}{mean(cpu[span]):>16.1f}"
            f"{statistics.median(time[span]):>16.1f}{sent:>20,.0f}"
        )
    sums = (sum(journal), sum(engine), sum(cpu), sum(time))
    yield "in all   " + "".join(f"{value:>16,.0f}" for value in sums)


def _sentence(growth: Growth) -> str:
    change = growth.over_100_turns
    verdict = "does not grow" if change <= _FLAT else "GROWS"
    mean = growth.form.format(growth.mean)
    said = f"{growth.name:<8} {mean:>9} a turn, {change:+.1%} over 100 turns"
    return f"{said}: {verdict}" if growth.is_ours else said


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


if __name__ == "__main__":
    sys.exit(main())
