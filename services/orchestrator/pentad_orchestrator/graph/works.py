"""What work comes to, and what it needs to go on: calls, people, times, other runs. Pure."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from pentad.state.v1.approval_pb2 import Approval
from pentad.state.v1.event_pb2 import Event, ToolCallStarted
from pentad.state.v1.message_pb2 import Payload
from pentad.state.v1.run_pb2 import Failure, RunSpec, RunStatus
from pentad.state.v1.workflow_pb2 import (
    AgentWork,
    ApprovalWork,
    MapWork,
    Node,
    SleepWork,
    SubWorkflow,
    ToolWork,
    WorkflowSpec,
)
from pentad_orchestrator import approvals, children, failures, outputs, timers
from pentad_orchestrator.approvals import Leave
from pentad_orchestrator.commands import Command, InvokeTool, StartChild
from pentad_orchestrator.graph import maps, values
from pentad_orchestrator.graph.state import InGraph, Unit
from pentad_orchestrator.graph.values import Work
from pentad_orchestrator.run import seconds

if TYPE_CHECKING:
    from pentad_orchestrator.run import Run

APPROVAL_REFUSED = "APPROVAL_REFUSED"
APPROVAL_EXPIRED = "APPROVAL_EXPIRED"
NODE_TIMEOUT = "NODE_TIMEOUT"
_WALL_TIME = "WALL_TIME_REACHED"
_CALL = "call"


def work(graph: InGraph, unit: Unit) -> Work:
    """Return what a unit does."""
    item = unit.item is not None and not unit.undo
    return values.work_of(graph.shape.nodes[unit.node], item=item, undo=unit.undo)


def in_run_of_its_own(graph: InGraph, unit: Unit) -> bool:
    """Whether a unit's work is done by another run."""
    if isinstance(work(graph, unit), AgentWork | SubWorkflow):
        return True
    return unit.item is not None and not unit.undo


def outcome(run: "Run", graph: InGraph, unit: Unit) -> Payload | Failure | None:
    """Return what came of a unit's attempt; None while that is not known."""
    if unit.retry_s is not None:
        return None
    if in_run_of_its_own(graph, unit):
        return _of_child(run, graph, unit)
    match work(graph, unit):
        case ToolWork():
            return _of_call(run, graph, unit)
        case ApprovalWork() as asked:
            return _of_approval(run, unit, asked)
        case SleepWork():
            timer = run.timers.get(unit.key[0])
            return Payload(content_type="text/plain") if timer and timer.fired else None
        case MapWork():
            found = maps.result(graph, unit)
            return values.to_payload(found) if isinstance(found, list) else found
    raise AssertionError("every kind of work has an outcome")


def opening(run: "Run", graph: InGraph, unit: Unit) -> Event | None:
    """Return what has to be journalled for a unit to go on; None when nothing has to."""
    if in_run_of_its_own(graph, unit):
        return None
    key = unit.key[0]
    match work(graph, unit):
        case ToolWork():
            return _call(run, graph, unit)
        case ApprovalWork() as asked if key not in run.approvals:
            return _ask(run, unit, asked)
        case SleepWork() if key not in run.timers:
            time = Timestamp()
            time.FromJsonString(unit.given.text)
            return timers.start(key, seconds(time))
    return None


def commands(run: "Run", graph: InGraph) -> Iterator[Command]:
    """Yield what is to be in execution, and the times that are waited for."""
    for call in graph.calls.values():
        if call.in_hand:
            yield InvokeTool(call.wish.call_id, call.not_done_up_to)
    room = children.room(run)
    for unit in graph.units.values():
        if room > 0 and _is_to_begin(run, graph, unit):
            room -= 1
            yield StartChild(*unit.key, child_of(run, graph, unit))
    yield from timers.awaited(run)


def unjournalled(run: "Run", graph: InGraph) -> Iterator[tuple[str, int]]:
    """Yield what the run has others begin with, and does not know yet that they exist."""
    for unit in graph.units.values():
        if _is_to_begin(run, graph, unit):
            yield unit.key


def _is_to_begin(run: "Run", graph: InGraph, unit: Unit) -> bool:
    known = unit.retry_s is not None or unit.key in run.children
    return not known and in_run_of_its_own(graph, unit)


def child_of(run: "Run", graph: InGraph, unit: Unit) -> RunSpec:
    """Return what is asked of the run that does a unit's work."""
    spec = RunSpec(priority=run.created.spec.priority)
    match work(graph, unit):
        case AgentWork() as asked:
            picked = run.created.graph.capabilities
            spec.agent = asked.name or picked[asked.capability]
            spec.input = unit.given.text
        case SubWorkflow() as sub:
            spec.input = unit.given.text
            if sub.HasField("inline"):
                spec.graph.CopyFrom(sub.inline)
            else:
                spec.workflow_name = sub.name
        case ToolWork() as tool:
            spec.input = unit.given.text
            spec.graph.CopyFrom(WorkflowSpec(nodes=[_call_node(tool.name, unit.given.text)]))
    if not unit.undo:
        node = graph.shape.nodes[unit.node]
        if node.HasField("timeout"):
            spec.limits.wall_time.CopyFrom(node.timeout)
    children.bound(run, spec)
    return spec


def _call_node(tool: str, arguments: str) -> Node:
    """Return a node that calls a tool with its run's input: data, never read as templates."""
    given = Struct()
    given.update({key: f"${{input[{json.dumps(key)}]}}" for key in json.loads(arguments)})
    return Node(name=_CALL, tool=ToolWork(name=tool, arguments=given))


def _of_child(run: "Run", graph: InGraph, unit: Unit) -> Payload | Failure | None:
    child = run.children.get(unit.key)
    if child is None and children.too_deep(run):
        message = f"runs start others no more than {children.DEPTH_MAX} deep"
        return Failure(reason=children.DEPTH_EXCEEDED, message=message)
    if child is None or child.status is None:
        return None
    if child.status.state == RunStatus.STATE_COMPLETED:
        return Payload(content_type="text/plain", text=child.status.output)
    reason, message = outputs.failure_of(child.status)
    timed = graph.shape.nodes[unit.node].HasField("timeout") and not unit.undo
    if reason == _WALL_TIME and timed:
        reason = NODE_TIMEOUT
    return Failure(reason=reason, message=message, metadata={"run_id": child.run_id})


def _of_call(run: "Run", graph: InGraph, unit: Unit) -> Payload | Failure | None:
    call = graph.calls[unit.key[0]]
    if call.outcome is not None:
        if call.outcome.WhichOneof("outcome") == "result":
            return call.outcome.result
        return _failure(call.outcome.error.reason, call.outcome.error.message)
    if call.started:
        return None
    if approvals.leave(run, call) is Leave.DENIED:
        error = approvals.denial(run.approvals[call.wish.call_id])
        return _failure(error.reason, error.message)
    limit = run.bounds.tool_calls
    if run.calls_started >= limit and not unit.undo:
        return failures.limit("TOOL_CALL_LIMIT_REACHED", "max_tool_calls", limit)
    return None


def _of_approval(run: "Run", unit: Unit, asked: ApprovalWork) -> Payload | Failure | None:
    known = run.approvals.get(unit.key[0])
    if known is None or known.open:
        return None
    decision = known.decision
    is_approved = decision is not None and approvals.is_approved(decision)
    if not is_approved and not asked.go_on_if_refused:
        error = approvals.denial(known)
        reason = APPROVAL_EXPIRED if decision is None else APPROVAL_REFUSED
        return _failure(reason, error.message)
    return values.to_payload(
        {
            "approved": is_approved,
            "comment": "" if decision is None else decision.comment,
            "decided_by": "" if decision is None else decision.decided_by,
        }
    )


def _call(run: "Run", graph: InGraph, unit: Unit) -> Event | None:
    call = graph.calls[unit.key[0]]
    if call.started:
        return None
    match approvals.leave(run, call):
        case Leave.TO_ASK:
            policy = approvals.needed(run, call.wish)
            assert policy is not None, "it is asked for because some policy needs it"
            approval = Approval(
                key=call.wish.call_id,
                kind=Approval.KIND_TOOL_CALL,
                question=f"May the node {unit.path} call {call.wish.tool}?",
                tool=call.wish.tool,
                arguments=call.wish.arguments,
            )
            return approvals.request(run, approval, policy)
        case Leave.GIVEN:
            begun = ToolCallStarted(call_id=call.wish.call_id, tool=call.wish.tool)
            return Event(tool_call_started=begun)
    return None


def _ask(run: "Run", unit: Unit, asked: ApprovalWork) -> Event:
    said = json.loads(unit.given.text)
    approval = Approval(key=unit.key[0], kind=Approval.KIND_GATE, question=said["question"])
    if said["show"] is not None:
        approval.arguments.CopyFrom(values.to_payload(said["show"]))
    return approvals.request(run, approval, asked.policy)


def _failure(reason: str, message: str) -> Failure:
    return Failure(reason=reason, message=message)
