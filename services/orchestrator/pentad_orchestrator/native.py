"""Tools that the orchestrator carries out itself: they wait for people, times and other runs.

A call of one goes the way of every call. What it waits with has the call's id. Pure.
"""

from collections.abc import Iterator

from pentad.state.v1.agent_pb2 import Agent
from pentad.state.v1.approval_pb2 import Approval, Decision
from pentad.state.v1.event_pb2 import Event, ToolCallCompleted
from pentad.state.v1.message_pb2 import Payload, ToolError
from pentad_chassis.native import NAMES, tool_of
from pentad_orchestrator import approvals, children, outputs, timers
from pentad_orchestrator.arguments import (
    ArgumentsInvalid,
    AskHuman,
    Delegate,
    Sleep,
    parsed,
    to_struct,
)
from pentad_orchestrator.children import FanOut, Join
from pentad_orchestrator.commands import StartChild
from pentad_orchestrator.run import Call, Calling, Run

ASK_HUMAN = "ask_human"
SLEEP = "sleep"
ARGUMENTS_INVALID = "TOOL_ARGUMENTS_INVALID"

SLEEP_S_MAX = 30 * 24 * 3600.0
"""No run lasts longer."""


def may_call(agent: Agent, tool: str) -> bool:
    """Whether an agent has a tool of that name."""
    return tool in agent.tools or (tool.startswith("agent_") and _named(agent, tool) is not None)


def next_of(run: Run, call: Call) -> Event | None:
    """Return what follows for a call that was begun; None while it waits."""
    try:
        match call.wish.tool:
            case "ask_human":
                return _next_of_question(run, call)
            case "sleep":
                return _next_of_sleep(run, call)
        return _next_of_fan_out(run, call)
    except ArgumentsInvalid as invalid:
        return _failed(run, call, ToolError(reason=ARGUMENTS_INVALID, message=str(invalid)))


def starts(run: Run, calling: Calling) -> Iterator[StartChild]:
    """Yield the runs that are to be started for calls in hand."""
    room = children.room(run)
    for call in calling.calls:
        if not call.in_hand or not _is_fan_out(run, call):
            continue
        asked = parsed(Delegate, call.wish.arguments.text)
        fan_out, agent = _fan_out(call, asked), _named(run.agent, call.wish.tool)
        assert agent is not None, "an agent is called by a name that it lists"
        for index in fan_out.next(run, room):
            room -= 1
            spec = children.spec_of(run, agent, asked.texts[index])
            yield StartChild(fan_out.key, index, spec)


def _next_of_question(run: Run, call: Call) -> Event | None:
    asked = run.approvals.get(call.wish.call_id)
    if asked is None:
        return _question(run, call)
    if asked.open:
        return None
    if asked.decision is None or not approvals.is_approved(asked.decision):
        return _failed(run, call, approvals.denial(asked))
    return _completed(run, call, _answer(asked.decision))


def _question(run: Run, call: Call) -> Event:
    arguments = parsed(AskHuman, call.wish.arguments.text)
    approval = Approval(
        key=call.wish.call_id,
        kind=Approval.KIND_QUESTION,
        question=arguments.question,
        agent=run.agent.name,
    )
    if arguments.answer_schema is not None:
        approval.answer_schema.CopyFrom(to_struct(arguments.answer_schema))
    return approvals.request(run, approval, approvals.named(run, ASK_HUMAN))


def _answer(decision: Decision) -> Payload:
    if decision.answer.WhichOneof("body"):
        return decision.answer
    return Payload(content_type="text/plain", text=decision.comment)


def _next_of_sleep(run: Run, call: Call) -> Event | None:
    timer = run.timers.get(call.wish.call_id)
    if timer is None:
        return timers.start(call.wish.call_id, _wakes_at(run, call))
    if not timer.fired:
        return None
    return _completed(run, call, Payload(content_type="text/plain", text="The time has come."))


def _wakes_at(run: Run, call: Call) -> float:
    arguments = parsed(Sleep, call.wish.arguments.text)
    at_s = run.now_s + (arguments.seconds or 0.0)
    if arguments.until is not None:
        at_s = max(run.now_s, arguments.until.timestamp())
    if at_s - run.now_s > SLEEP_S_MAX:
        raise ArgumentsInvalid("until: must be within the next 30 days")
    return at_s


def _next_of_fan_out(run: Run, call: Call) -> Event | None:
    fan_out = _fan_out(call, parsed(Delegate, call.wish.arguments.text))
    if children.too_deep(run):
        message = f"runs start others no more than {children.DEPTH_MAX} deep"
        return _failed(run, call, ToolError(reason=children.DEPTH_EXCEEDED, message=message))
    if not fan_out.done(run):
        return None
    statuses = fan_out.statuses(run)
    is_list = bool(parsed(Delegate, call.wish.arguments.text).inputs)
    failed = sum(map(children.succeeds, statuses.values())) < fan_out.enough
    if failed and not (is_list and fan_out.join is Join.ALL):
        message = outputs.failures_of(statuses)
        return _failed(run, call, ToolError(reason=children.FAILED, message=message))
    result = outputs.results_of(statuses) if is_list else outputs.result_of(statuses[0])
    return _completed(run, call, result)


def _is_fan_out(run: Run, call: Call) -> bool:
    return call.wish.tool not in NAMES and run.is_native(call.wish.tool)


def _fan_out(call: Call, asked: Delegate) -> FanOut:
    return FanOut(
        key=call.wish.call_id,
        total=len(asked.texts),
        parallelism=asked.parallelism,
        join=Join(asked.join),
        count=asked.count,
    )


def _named(agent: Agent, tool: str) -> str | None:
    return next((name for name in agent.agents if tool_of(name) == tool), None)


def _completed(run: Run, call: Call, result: Payload) -> Event:
    return Event(
        tool_call_completed=ToolCallCompleted(
            step=run.planned.name, call_id=call.wish.call_id, tool=call.wish.tool, result=result
        )
    )


def _failed(run: Run, call: Call, error: ToolError) -> Event:
    return Event(
        tool_call_completed=ToolCallCompleted(
            step=run.planned.name, call_id=call.wish.call_id, tool=call.wish.tool, error=error
        )
    )
