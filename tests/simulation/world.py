"""A suite in one loop: real orchestrators and tool-runners, and all that befalls them."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

from harness.fake_budgets import FakeBudgets
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from simulation.agents import agents
from simulation.approvals import Approvals
from simulation.approvers import Approvers
from simulation.jobs import Jobs
from simulation.judge import judge
from simulation.ledger import Agents, Ledger, Registry
from simulation.loop import Process, VirtualLoop, virtual
from simulation.network import CALM, Network, Weather
from simulation.outside import TOOLS, Outside, outside
from simulation.people import Client, Models, Operator, spec_of
from simulation.sessions import Sessions
from simulation.store import Runs
from simulation.stored import Rules
from simulation.watch import Watch
from simulation.wire import Wire

from pentad.executor.v1.executor_service_pb2_grpc import add_ExecutorServiceServicer_to_server
from pentad.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceStub
from pentad.state.v1.agent_service_pb2_grpc import add_AgentServiceServicer_to_server
from pentad.state.v1.approval_service_pb2_grpc import (
    ApprovalServiceStub,
    add_ApprovalServiceServicer_to_server,
)
from pentad.state.v1.budget_service_pb2_grpc import add_BudgetServiceServicer_to_server
from pentad.state.v1.effect_service_pb2_grpc import add_EffectServiceServicer_to_server
from pentad.state.v1.job_service_pb2_grpc import add_JobServiceServicer_to_server
from pentad.state.v1.registry_service_pb2_grpc import add_RegistryServiceServicer_to_server
from pentad.state.v1.run_service_pb2_grpc import (
    RunServiceStub,
    add_RunServiceServicer_to_server,
)
from pentad.state.v1.session_service_pb2_grpc import add_SessionServiceServicer_to_server
from pentad_chassis.logs import open_log
from pentad_chassis.spans import SpanBuffer
from pentad_chassis.telemetry import Telemetry
from pentad_chassis.tracer import Tracer
from pentad_orchestrator.app import open_app as open_orchestrator
from pentad_orchestrator.config import Config as OrchestratorConfig
from pentad_tools.app import open_app as open_tools
from pentad_tools.catalogue import Catalogue
from pentad_tools.config import Config as ToolsConfig

FAULTS_S = 60.0
"""For so long things go wrong; afterwards every run must end by itself."""

_END_S = 900.0
_STEP_S = 1.0

_ORCHESTRATOR = OrchestratorConfig(
    address="orchestrator",
    state_address="state",
    tools_address="tools",
    executor_address="executor",
    executors_poll_s=60.0,
    drain_grace_s=3.0,
)
_TOOLS = ToolsConfig(address="tools", state_address="state", notebook_dir=Path(), drain_grace_s=3.0)
_ERROR = 40


class Broken(AssertionError):
    """A simulation saw what must not be."""

    def __init__(self, seed: int, violations: list[str]) -> None:
        shown = "\n  ".join(violations[:10])
        super().__init__(
            f"seed {seed}:\n  {shown}\n"
            f"See it again: PYTHONPATH=tests python -m simulation --first {seed} --seeds 1 --trace"
        )
        self.seed = seed


@dataclass(frozen=True, slots=True)
class Summary:
    """What a simulation was like."""

    seed: int
    notes: list[str]
    violations: list[str]
    faults: int
    endings: list[str]

    @property
    def digest(self) -> str:
        """The trace in short."""
        return hashlib.sha256("\n".join(self.notes).encode()).hexdigest()


def simulate(seed: int, rules: Rules = Rules()) -> Summary:  # noqa: B008 - it is a value
    """Play one seed to its end."""
    with virtual(seed) as loop, stand_ins():
        world = World(loop, seed, rules)
        try:
            loop.run_until_complete(world.play())
        finally:
            loop.run_until_complete(world.close())
        return world.summary()


def check(seed: int, rules: Rules = Rules()) -> Summary:  # noqa: B008 - it is a value
    """Play one seed, or raise Broken with what it saw."""
    summary = simulate(seed, rules)
    if summary.violations:
        raise Broken(seed, summary.violations)
    return summary


class World:
    """Everything there is in one simulation."""

    def __init__(self, loop: VirtualLoop, seed: int, rules: Rules) -> None:
        self.seed = seed
        self.network = Network(loop, seed)
        self.watch = Watch()
        self.jobs = Jobs()
        self.runs = Runs(rules, self.watch, self.jobs)
        self.approvals = Approvals(self.runs)
        self.ledger = self.watch.ledger = Ledger(rules, self.watch)
        self.sessions = Sessions(self.runs, self.jobs, self.watch)
        self.outside = Outside(self.network, self.watch)
        self.faults = 0
        self._loop = loop
        self._chance = self.network.chance("world")
        self._log = StringIO()
        self._processes: dict[str, Process] = {}
        self._graves: list[Process] = []
        self._starts = 0
        self._listen()

    async def play(self) -> None:
        """Let things happen, then let them calm down, and look at what became of all runs."""
        state: Any = Wire(self.network, "state")
        orchestrator: Any = Wire(self.network, "orchestrator")
        runs = RunServiceStub(state)
        client = Client(self.network, OrchestratorServiceStub(orchestrator), runs, self.watch)
        operator = Operator(self.network, self.runs, runs, self.outside)
        approvers = Approvers(self.network, ApprovalServiceStub(state), self.watch)
        for name in self._names():
            self.start(name)
        async with asyncio.TaskGroup() as tasks:
            minding = [tasks.create_task(who.work()) for who in (operator, approvers)]
            wishes = [
                tasks.create_task(client.want(f"r{n}", spec_of(self._chance, n)))
                for n in range(self._chance.randint(3, 6))
            ]
            await self._trouble()
            await self._calm()
            await asyncio.gather(*wishes)
            await self.until_ended()
            for task in minding:
                task.cancel()
        judge(self)

    async def close(self) -> None:
        """End what still runs, now that nothing depends on it any more."""
        self.network.cut.update(("state", "tools", "executor", "orchestrator"))
        for process in (*self._processes.values(), *self._graves):
            process.revive()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for _ in range(20):
            for task in tasks:
                task.cancel()
            if not tasks:
                return
            await asyncio.wait(tasks, timeout=30.0)
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
        raise AssertionError(f"tasks that cannot be cancelled: {tasks}")

    def summary(self) -> Summary:
        """Return what there is to tell."""
        endings = [str(run.journal[-1].WhichOneof("kind")) for run in self.runs.stored.values()]
        return Summary(self.seed, self.watch.notes, self.watch.violations, self.faults, endings)

    async def _trouble(self) -> None:
        """Have something go wrong every few seconds."""
        ends_at_s = self._loop.time() + FAULTS_S
        while self._loop.time() < ends_at_s:
            self.network.weather = self._weather()
            await asyncio.sleep(self._chance.expovariate(1 / 4))
            fault = self._chance.choice(
                [self._kill, self._kill, self._kill_all, *[self._pause] * 3, self._stop, self._cut]
            )
            fault()
            self.faults += 1

    def _weather(self) -> Weather:
        bad = self._chance.choice([0.0, 0.03, 0.08])
        return Weather(
            lost=bad,
            unanswered=2 * bad,
            late=bad,
            twice=bad,
            silent=self._chance.choice([0.0, 0.3]),
            slow_s=self._chance.choice([0.002, 0.02, 0.3]),
        )

    async def _calm(self) -> None:
        self.network.weather = CALM
        self.network.cut.clear()
        self.watch.note("calm")
        for name, process in list(self._processes.items()):
            if process.asleep:
                process.wake()
            if not process.alive:
                self.start(name)

    def _kill(self) -> None:
        if names := self._alive(self._chance.choice("oote")):
            self.end(self._chance.choice(names))

    def _kill_all(self) -> None:
        for name in self._alive(self._chance.choice("ot")):
            self.end(name)

    def _alive(self, kinds: str) -> list[str]:
        return [name for name, p in self._processes.items() if name[0] in kinds and p.alive]

    def end(self, name: str) -> None:
        """Kill a process; there will be another one of its name."""
        process = self._processes[name]
        self.watch.note(f"kill {process.name}")
        process.kill()
        self.network.died(process)
        self._soon(self._chance.uniform(0.2, 8.0), self.start, name)

    def _pause(self) -> None:
        """Stop an orchestrator, past its lease at times; or a runner, within its hold.

        A runner that sleeps in the midst of a ONCE call until others take it for dead may act when
        it wakes: only the system behind the tool can refuse that (docs/tools.md).
        """
        seconds, kinds = self._chance.choice(
            [(1.0, "t"), (3.0, "o"), (11.0, "o"), (14.0, "o"), (25.0, "o")]
        )
        awake = [name for name in self._alive(kinds) if not self._processes[name].asleep]
        if awake:
            process = self._processes[self._chance.choice(awake)]
            self.watch.note(f"stop {process.name} for {seconds:g} s")
            process.sleep()
            self._soon(seconds, process.wake)

    def _stop(self) -> None:
        """Ask a process to end in order, as a rolling update does."""
        name = self._chance.choice(list(self._processes))
        process = self._processes[name]
        if process.alive and not process.asleep:
            self.watch.note(f"term {process.name}")
            process.leave()
            self._soon(self._chance.uniform(4.0, 10.0), self._replace, name, process)

    def _cut(self) -> None:
        address = self._chance.choice(["state", "tools", "executor", "orchestrator"])
        self.watch.note(f"cut {address}")
        self.network.cut.add(address)
        self._soon(self._chance.uniform(0.5, 9.0), self.network.cut.discard, address)

    def _soon(self, delay_s: float, do: Callable[..., Any], *arguments: Any) -> None:
        self.network.later(delay_s, do, *arguments)

    def _replace(self, name: str, process: Process) -> None:
        if self._processes[name] is process:
            process.kill()
            self.network.died(process)
            self.start(name)

    def _names(self) -> Iterator[str]:
        for kind, most in (("o", 3), ("t", 2), ("e", 2)):
            for number in range(self._chance.randint(1 if kind == "e" else 2, most)):
                yield f"{kind}{number}"

    def start(self, name: str) -> None:
        """Start a process, unless there is one of that name."""
        before = self._processes.get(name)
        if before is not None:
            if before.alive:
                return
            self._graves.append(before)
        self._starts += 1
        process = self._processes[name] = Process(self._loop, f"{name}#{self._starts}")
        process.context.run(outside.set, self.outside)
        process.context.run(_world.set, self)
        telemetry = self._telemetry(process.name)
        app: AbstractAsyncContextManager[None]
        match name[0]:
            case "o":
                app = open_orchestrator(_ORCHESTRATOR, telemetry)
            case "t":
                app = open_tools(_TOOLS, telemetry)
            case _:
                app = self._open_executor()
        self.watch.note(f"start {process.name}")
        process.start(self._main(process, app))

    async def _main(self, process: Process, app: AbstractAsyncContextManager[None]) -> None:
        leaving = asyncio.Event()
        process.leave = leaving.set
        async with app:
            await leaving.wait()
        self.watch.note(f"left {process.name}")

    @asynccontextmanager
    async def _open_executor(self) -> AsyncIterator[None]:
        add = partial(add_ExecutorServiceServicer_to_server, Models(self.network, self.watch))
        config = _TOOLS.model_copy(update={"address": "executor"})
        async with self.network.serving(config, self._telemetry("executor"), [add]):
            yield

    def _telemetry(self, name: str) -> Telemetry:
        """Return telemetry of which only errors matter: each tells of a defect."""
        spans = SpanBuffer(name)
        return Telemetry(
            name, open_log(name, _ERROR, self._log), Tracer(ALWAYS_OFF, spans.add), spans
        )

    def _listen(self) -> None:
        self.network.listen(
            "state",
            None,
            partial(add_RunServiceServicer_to_server, self.runs),
            partial(add_SessionServiceServicer_to_server, self.sessions),
            partial(add_EffectServiceServicer_to_server, self.ledger),
            partial(add_AgentServiceServicer_to_server, Agents(*agents())),
            partial(add_RegistryServiceServicer_to_server, Registry()),
            partial(add_BudgetServiceServicer_to_server, FakeBudgets()),
            partial(add_JobServiceServicer_to_server, self.jobs),
            partial(add_ApprovalServiceServicer_to_server, self.approvals),
        )

    async def until_ended(self) -> None:
        """Return once all runs have ended, or never will."""
        gives_up_at_s = self._loop.time() + _END_S
        while self._loop.time() < gives_up_at_s:
            if all(stored.ended for stored in self.runs.stored.values()):
                return
            await asyncio.sleep(_STEP_S)

    @property
    def errors(self) -> list[str]:
        """What services logged as errors, or let out."""
        return [*self.network.defects, *self._log.getvalue().splitlines()]


_world: ContextVar[World] = ContextVar("world")


@contextmanager
def stand_ins() -> Iterator[None]:
    """Have the apps use this network, these tools, and no place for spans."""

    @asynccontextmanager
    async def no_spans(*_: object) -> AsyncIterator[None]:
        yield

    def open_channel(*arguments: Any, **named: Any) -> Any:
        return _world.get().network.open_channel(*arguments, **named)

    def serving(*arguments: Any, **named: Any) -> Any:
        return _world.get().network.serving(*arguments, **named)

    with ExitStack() as stack:
        for app in ("pentad_orchestrator.app", "pentad_tools.app"):
            stack.enter_context(patch(f"{app}.open_channel", open_channel))
            stack.enter_context(patch(f"{app}.serving", serving))
            stack.enter_context(patch(f"{app}.recording_spans", no_spans))
        stack.enter_context(patch("pentad_tools.app.load_catalogue", lambda: Catalogue(TOOLS)))
        yield
