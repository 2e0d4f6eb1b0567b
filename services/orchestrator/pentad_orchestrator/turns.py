"""Model turns: one call of the executor service, as one event."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from google.protobuf.duration_pb2 import Duration

from pentad.executor.v1.executor_service_pb2 import ExecuteTurnRequest, StepOutput, TurnResult
from pentad.state.v1.event_pb2 import Event, TurnCompleted, TurnFailed
from pentad.state.v1.message_pb2 import Message
from pentad.state.v1.run_pb2 import Failure
from pentad.state.v1.run_service_pb2 import Lease
from pentad_chassis.channel import reading
from pentad_chassis.errors import DeadlineExceeded, ServiceError
from pentad_chassis.failpoints import failpoint
from pentad_orchestrator import native
from pentad_orchestrator.accounts import accounts_for
from pentad_orchestrator.bounds import turn_bounds
from pentad_orchestrator.executors import Executors, Route
from pentad_orchestrator.patience import Patience, is_away
from pentad_orchestrator.plan import RETRY_AFTER
from pentad_orchestrator.run import InTurn, Run
from pentad_orchestrator.text import TextSink, TextStream

if TYPE_CHECKING:
    from pentad.executor.v1.executor_service_pb2_grpc import ExecutorServiceAsyncStub

_REPORT_S = 5.0
"""Beyond the model's own time, so that an executor that times out can say so."""

_REQUEST_BYTES_MAX = 15 * 1024 * 1024
"""Below what the chassis lets through, so that the error can say what is too large."""

_MODELS_OWN = ("MODEL_", "RULES_")
"""Reasons that begin so tell of the model; all others tell of the executor service."""

_OUTPUT_INVALID = "MODEL_OUTPUT_INVALID"


class Turns:
    """Has turns executed."""

    def __init__(self, executors: Executors, text: TextSink, patience: Patience) -> None:
        self._executors = executors
        self._text = text
        self._patience = patience

    async def execute(self, run: Run, history: Sequence[Message], lease: Lease) -> Event:
        """Return `turn_completed` or `turn_failed`; wait as long as there is no executor."""
        request = to_request(run, history)
        size = request.ByteSize()
        if size > _REQUEST_BYTES_MAX:
            return _too_large(run, size)

        async def attempt(executor: "ExecutorServiceAsyncStub") -> Event:
            return await self._attempt(executor, run, request, lease)

        async def perform() -> Event:
            return await self._executors.perform(to_route(run), attempt)

        return await self._patience.until_answered(
            perform, what="ExecuteTurn", repeat_after=_is_the_executors
        )

    async def _attempt(
        self,
        executor: "ExecutorServiceAsyncStub",
        run: Run,
        request: ExecuteTurnRequest,
        lease: Lease,
    ) -> Event:
        """Return how the turn ended; raise when the executor did not take it."""
        assert isinstance(run.phase, InTurn), "a turn is executed while it is in progress"
        async with self._text.stream(lease, run.phase.seq, run.turn) as text:
            try:
                result = await _stream(executor, request, text)
            except ServiceError as error:
                if _is_the_executors(error) and not text.shown:
                    raise
                # Shown text is void only behind the event of another attempt.
                text.discard()
                return _failed(run, error)
        return _incomplete(run) if result is None else _completed(run, result)


async def _stream(
    executor: "ExecutorServiceAsyncStub", request: ExecuteTurnRequest, text: TextStream
) -> TurnResult | None:
    timeout_s = request.timeout.ToTimedelta().total_seconds() + _REPORT_S
    await failpoint("orchestrator.turn.before")
    async with reading(executor.ExecuteTurn(request, timeout=timeout_s)) as responses:
        result = None
        async for response in responses:
            if response.WhichOneof("kind") == "result":
                # Read on to the end: leaving now would cancel a call that has succeeded.
                result = response.result
            else:
                text.write(response.text_delta)
    await failpoint("orchestrator.turn.after")
    return result


def to_route(run: Run) -> Route:
    """Return what decides which executor performs the current turn."""
    spec = run.created.spec
    key = f"{run.created.tenant}/{spec.session_id}" if spec.session_id else run.run_id
    return Route(run.agent.routing, run.agent.model.partition(":")[0], key)


def to_request(run: Run, history: Sequence[Message]) -> ExecuteTurnRequest:
    """Return all that the current turn depends on."""
    agent = run.agent
    bounds = turn_bounds(run.created.spec.limits, agent)
    timeout = Duration()
    timeout.FromNanoseconds(int(bounds.timeout_s * 1e9))
    names = (step.name for step in run.steps)
    return ExecuteTurnRequest(
        tenant=run.created.tenant,
        run_id=run.run_id,
        agent=agent,
        tools=[tool for tool in run.created.tools if native.may_call(agent, tool.name)],
        history=history,
        run_input=run.created.spec.input,
        earlier_steps=[
            StepOutput(step=name, output=output)
            for name, output in zip(names, run.outputs, strict=False)
        ],
        input=run.planned.input,
        messages=run.messages,
        max_output_tokens=bounds.output_tokens,
        timeout=timeout,
        turn=run.turn,
        accounts=accounts_for(run),
    )


def _is_the_executors(error: ServiceError) -> bool:
    """Whether an executor is away, or gone; a deadline may as well be the model's fault."""
    models = error.reason.startswith(_MODELS_OWN) or isinstance(error, DeadlineExceeded)
    return is_away(error) and not models


def _completed(run: Run, result: TurnResult) -> Event:
    completed = TurnCompleted(
        step=run.planned.name,
        turn=run.turn,
        message=result.message,
        usage=result.usage,
        model=result.model,
        from_cache=result.from_cache,
        exhausted=result.exhausted if result.HasField("exhausted") else None,
    )
    completed.message.role = Message.ROLE_ASSISTANT
    for index, call in enumerate(completed.message.tool_calls):
        call.call_id = f"{run.step}.{run.turn}.{index}"
    return Event(turn_completed=completed)


def _failed(run: Run, error: ServiceError) -> Event:
    failure = Failure(reason=error.reason, message=error.message, metadata=error.metadata)
    if error.reason == DeadlineExceeded.reason:
        failure.reason = "TURN_TIMEOUT"
        failure.message = "the model did not answer in time"
    if error.retry_after_s is not None:
        failure.metadata[RETRY_AFTER] = f"{error.retry_after_s:g}"
    retryable = is_away(error) or error.reason == _OUTPUT_INVALID
    return _broken(run, failure, retryable=retryable, cut_short=_is_the_executors(error))


def _incomplete(run: Run) -> Event:
    message = "the executor ended the turn without a result"
    return _broken(run, Failure(reason="TURN_INCOMPLETE", message=message), retryable=True)


def _too_large(run: Run, size: int) -> Event:
    failure = Failure(
        reason="CONVERSATION_TOO_LARGE",
        message=f"the conversation has {size} bytes; at most {_REQUEST_BYTES_MAX} reach a model",
        metadata={"bytes": str(size), "bytes_max": str(_REQUEST_BYTES_MAX)},
    )
    return _broken(run, failure, retryable=False)


def _broken(run: Run, failure: Failure, *, retryable: bool, cut_short: bool = False) -> Event:
    return Event(
        turn_failed=TurnFailed(
            step=run.planned.name,
            turn=run.turn,
            failure=failure,
            retryable=retryable,
            cut_short=cut_short,
        )
    )
