"""Those around the suite: models, clients that repeat themselves, and an operator."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

from simulation.network import Network
from simulation.outside import NAMES, Outside
from simulation.sessions import ENQUEUE, INTERRUPT, ROLL_BACK
from simulation.store import Runs
from simulation.stored import PAUSED
from simulation.watch import Watch

from pentad.executor.v1.executor_service_pb2 import (
    ExecuteTurnRequest,
    ExecuteTurnResponse,
    TurnResult,
)
from pentad.executor.v1.executor_service_pb2_grpc import ExecutorServiceServicer
from pentad.orchestrator.v1.orchestrator_service_pb2 import CancelRunRequest, CreateRunRequest
from pentad.state.v1.event_pb2 import RunResumed
from pentad.state.v1.message_pb2 import Message, Payload, ToolCall, Usage
from pentad.state.v1.run_pb2 import RunSpec, Settlement, UnknownEffect
from pentad.state.v1.run_service_pb2 import GetRunRequest, RequestPauseRequest, ResumeRunRequest
from pentad_chassis.errors import ServiceError, Unavailable
from pentad_tools.tool import NOT_DONE, UNKNOWN, Done

if TYPE_CHECKING:
    from pentad.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceAsyncStub
    from pentad.state.v1.run_service_pb2_grpc import RunServiceAsyncStub

TENANT = "acme"
GIVEN_UP = "given up"
"""What the operator says of a call that may be begun again and is not to be."""

_NOT_RESUMED = frozenset({"RUN_NOT_PAUSED", "SETTLEMENT_MISSING"})
"""It went on by itself meanwhile, or has come to ask something else."""

_CALL_S = 5.0
_CALLS_MAX = 3
_RISKY = ("shout", "shout")
"""Asked for more often: nobody but a person can look up whether they took place."""

_NATIVE = 0.25
"""Part of the calls that may be of any tool; the others are of tools with effects."""

_Answer = TypeVar("_Answer")


class Models(ExecutorServiceServicer):
    """Decides by chance what a turn says; another attempt at it may say something else."""

    def __init__(self, network: Network, watch: Watch) -> None:
        self._network = network
        self._watch = watch

    async def ExecuteTurn(
        self, request: ExecuteTurnRequest, context: object
    ) -> AsyncIterator[ExecuteTurnResponse]:
        self._watch.turn_executed(request.run_id, request.turn)
        chance = self._network.next_chance("model", request.run_id, request.turn)
        await asyncio.sleep(chance.expovariate(1.0))
        if chance.random() < 0.05:
            error = Unavailable("the model is away")
            error.reason = "MODEL_UNAVAILABLE"
            raise error
        message = self._message(request, chance)
        if message.text:
            yield ExecuteTurnResponse(text_delta=message.text)
            await asyncio.sleep(chance.expovariate(2.0))
        usage = Usage(input_tokens=chance.randint(1, 9))
        result = TurnResult(message=message, model="chance", usage=usage)
        yield ExecuteTurnResponse(result=result)

    def _message(self, request: ExecuteTurnRequest, chance: Random) -> Message:
        if request.turn > 1 and chance.random() < 0.3:
            return Message(text=answer_of(request.run_id))
        calls = []
        for index in range(chance.randint(1, _CALLS_MAX)):
            what = f"{request.run_id}/{request.turn}/{index}"
            tool = chance.choice([*NAMES, *_RISKY])
            if chance.random() < _NATIVE:
                tool = chance.choice([tool.name for tool in request.tools])
            text = json.dumps(_arguments(tool, what, chance))
            arguments = Payload(content_type="application/json", text=text)
            calls.append(ToolCall(tool=tool, arguments=arguments))
        return Message(tool_calls=calls)


def _arguments(tool: str, what: str, chance: Random) -> dict[str, object]:
    match tool:
        case "ask_human":
            return {"question": "Which?"}
        case "sleep":
            return {"seconds": chance.choice([0.4, 3.0, 30.0])}
        case "agent_helper" if chance.random() < 0.5:
            return {"input": what}
        case "agent_helper":
            inputs = [f"{what}/{number}" for number in range(chance.randint(1, 4))]
            join = chance.choice(["all", "any", "first"])
            return {"inputs": inputs, "parallelism": chance.randint(1, 3), "join": join, "count": 2}
    return {"what": what}


class Client:
    """Wants one run, and repeats itself until it is told that there is one."""

    def __init__(
        self,
        network: Network,
        orchestrator: "OrchestratorServiceAsyncStub",
        state: "RunServiceAsyncStub",
        watch: Watch,
    ) -> None:
        self._network = network
        self._orchestrator = orchestrator
        self._state = state
        self._watch = watch

    async def want(self, request_id: str, spec: RunSpec) -> str:
        """Have a run accepted, perhaps by two calls at once; perhaps change one's mind later."""
        chance = self._network.chance("client", request_id)
        await asyncio.sleep(chance.uniform(0, 30))
        run_id = await self.have(request_id, spec, times=1 + (chance.random() < 0.3))
        match chance.choice(["wait", "wait", "wait", "cancel", "pause", "pause"]):
            case "cancel":
                await asyncio.sleep(chance.uniform(0, 20))
                cancel = CancelRunRequest(tenant=TENANT, run_id=run_id, reason="mind changed")
                await until_heard(lambda: self._orchestrator.CancelRun(cancel, timeout=_CALL_S))
            case "pause":
                await asyncio.sleep(chance.uniform(0, 20))
                pause = RequestPauseRequest(tenant=TENANT, run_id=run_id, reason="lunch")
                await until_heard(lambda: self._state.RequestPause(pause, timeout=_CALL_S))
                if chance.random() < 0.5:
                    await self._take_back(run_id)
        return run_id

    async def have(self, request_id: str, spec: RunSpec, times: int = 1) -> str:
        """Have a run accepted, by so many calls at once; return which it is."""
        request = CreateRunRequest(tenant=TENANT, spec=spec, request_id=request_id)

        async def create() -> str:
            return (await self._orchestrator.CreateRun(request, timeout=_CALL_S)).run.run_id

        answers = await asyncio.gather(*(until_heard(create) for _ in range(times)))
        if len({*answers}) > 1:
            self._watch.violated(f"request {request_id} made {answers}")
        return answers[0]

    async def _take_back(self, run_id: str) -> None:
        resume = ResumeRunRequest(tenant=TENANT, run_id=run_id, resume_id="take back")
        try:
            await until_heard(lambda: self._state.ResumeRun(resume, timeout=_CALL_S))
        except ServiceError as error:
            if error.reason not in _NOT_RESUMED:
                raise


class Operator:
    """Lets paused runs go on; finds out, truly, what became of calls that nobody knows of."""

    def __init__(
        self, network: Network, runs: Runs, state: "RunServiceAsyncStub", outside: Outside
    ) -> None:
        self._network = network
        self._runs = runs
        self._state = state
        self._outside = outside

    async def work(self) -> None:
        """Look after paused runs until cancelled."""
        while True:
            await asyncio.sleep(2.0)
            for stored in list(self._runs.stored.values()):
                if stored.state == PAUSED:
                    await self._resume(stored.run.run_id)

    async def _resume(self, run_id: str) -> None:
        read = GetRunRequest(tenant=TENANT, run_id=run_id)
        response = await until_heard(lambda: self._state.GetRun(read, timeout=_CALL_S))
        pause = response.run.status.pause
        await asyncio.sleep(3.0)
        found = [self._find(run_id, effect) for effect in pause.unknown_effects]
        settlements = [settlement for settlement in found if settlement is not None]
        if len(settlements) < len(found):
            return
        resume = ResumeRunRequest(
            tenant=TENANT,
            run_id=run_id,
            resume_id=f"{run_id}-{response.run.last_seq}",
            resumed=RunResumed(settlements=settlements, reason="go on"),
        )
        try:
            await until_heard(lambda: self._state.ResumeRun(resume, timeout=_CALL_S))
        except ServiceError as error:
            if error.reason not in _NOT_RESUMED:
                raise

    def _find(self, run_id: str, effect: UnknownEffect) -> Settlement | None:
        """Return what is so; None as long as somebody is at the call."""
        key = f"{run_id}/{effect.call_id}"
        settlement = Settlement(call_id=effect.call_id, attempt=effect.attempt)
        finding = self._outside.look(key)
        if finding is UNKNOWN:
            return None
        if isinstance(finding, Done):
            settlement.result.text = str(finding.result)
        elif finding is NOT_DONE and self._network.next_chance("operator", key).random() < 0.7:
            settlement.not_done = True
        else:
            settlement.failure = GIVEN_UP
        return settlement


async def until_heard(call: Callable[[], Awaitable[_Answer]]) -> _Answer:
    """Repeat a call until it is answered."""
    while True:
        try:
            return await call()
        except ServiceError as error:
            if error.code.name not in {"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED"}:
                raise
            await asyncio.sleep(max(0.5, error.retry_after_s or 0.0))


def answer_of(run_id: str) -> str:
    """Return what a run's model says in the end."""
    return f"answer of {run_id}"


def spec_of(chance: Random, number: int) -> RunSpec:
    """Return what a client asks for: at times with little room, at times in a conversation."""
    spec: Any = RunSpec(agent="clerk", input=f"job {number}")
    spec.limits.max_turns = chance.choice([4, 10, 12])
    spec.limits.max_tool_calls = chance.choice([8, 24, 30])
    spec.limits.turn_timeout.FromSeconds(20)
    if chance.random() < 0.1:
        spec.limits.wall_time.FromSeconds(chance.choice([5, 20, 60]))
    if chance.random() < 0.4:
        spec.session_id = f"talk-{chance.randint(1, 2)}"
        spec.session_policy = chance.choice([ENQUEUE, ENQUEUE, INTERRUPT, ROLL_BACK])
    return spec  # type: ignore[no-any-return] # it is what was made above
