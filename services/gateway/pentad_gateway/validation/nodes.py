"""What a node of a workflow may say."""

from dataclasses import dataclass, replace

from google.protobuf.struct_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp

from pentad.state.v1.workflow_pb2 import (
    AgentWork,
    ApprovalWork,
    Compensation,
    Join,
    MapWork,
    Node,
    NodeRetry,
    SleepWork,
    SubWorkflow,
    ToolWork,
)
from pentad_chassis import approvals, conditions
from pentad_chassis.conditions import ConditionInvalid, Kind, Names
from pentad_chassis.workflows import templates
from pentad_chassis.workflows.expressions import BINDING, COMPENSATION, EDGE, ITEM, expression
from pentad_gateway.validation.bounds import (
    AGENT_NAME,
    CAPABILITY,
    KIB,
    NODE_NAME,
    TOOL_NAME,
    WORKFLOW_NAME,
    Bounds,
    is_json,
)

EXPRESSION_BYTES = 4 * KIB
TEMPLATE_BYTES = 64 * KIB
ITEMS_AT_ONCE = 64
ITEMS = 1000
ATTEMPTS = 20
REASONS = 32
REASON_CHARACTERS = 63
APPROVERS = 16

_DAY_S = 86_400
_MONTH_S = 30 * _DAY_S
_RESERVED = frozenset({"in", "true", "false", "null"})
_BOUNDED = frozenset({"agent", "map", "workflow"})
"""Nodes whose work is done in a run of its own, which a time can be given to."""

_WAITS = frozenset({"approval", "sleep"})


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands, and what its expressions may speak of there."""

    at: str
    names: Names

    def field(self, name: str) -> "Place":
        """Return the place of a field."""
        return replace(self, at=f"{self.at}.{name}")

    def knowing(self, names: tuple[str, ...]) -> "Place":
        """Return the same place with more to speak of."""
        return replace(self, names=(*self.names, *((name, Kind.ANYTHING) for name in names)))


def check_node(bounds: Bounds, here: Place, node: Node) -> None:
    """Check one node by itself."""
    bounds.name(f"{here.at}.name", node.name, NODE_NAME)
    if node.name in _RESERVED:
        bounds.broken(f"{here.at}.name", "must not be a word of expressions")
    kind = node.WhichOneof("work")
    if kind is None:
        kinds = ", ".join(field.name for field in Node.DESCRIPTOR.oneofs_by_name["work"].fields)
        bounds.broken(here.at, f"must hold one of {kinds}")
    else:
        _work(bounds, here.field(kind), getattr(node, kind))
    if node.join not in Join.values():
        bounds.broken(f"{here.at}.join", "must be one of Join's values")
    if node.HasField("timeout"):
        if kind in _BOUNDED:
            bounds.duration(f"{here.at}.timeout", node.timeout, _MONTH_S, least_s=1)
        else:
            bounds.broken(f"{here.at}.timeout", "must only be set for agents, maps and workflows")
    if node.HasField("retry"):
        if kind in _WAITS:
            bounds.broken(f"{here.at}.retry", "must not be set for a wait: it is never tried again")
        _retry(bounds, f"{here.at}.retry", node.retry)
    if node.HasField("compensation"):
        _compensation(bounds, here.field("compensation"), node)
    if node.output:
        check_expression(bounds, here.field("output").knowing(BINDING), node.output)


def check_condition(bounds: Bounds, here: Place, text: str) -> None:
    """Check the condition of an edge."""
    bounds.text(here.at, text, EXPRESSION_BYTES)
    try:
        conditions.compiled(text, here.knowing(EDGE).names)
    except ConditionInvalid as wrong:
        bounds.broken(here.at, f"must be an expression that is true or false: {wrong}")


def check_expression(bounds: Bounds, here: Place, text: str) -> None:
    """Check an expression for a value."""
    bounds.text(here.at, text, EXPRESSION_BYTES)
    try:
        expression(text, here.names)
    except ConditionInvalid as wrong:
        bounds.broken(here.at, f"must be an expression: {wrong}")


def _work(
    bounds: Bounds,
    here: Place,
    work: AgentWork | ToolWork | ApprovalWork | SleepWork | MapWork | SubWorkflow,
) -> None:
    match work:
        case AgentWork():
            _agent(bounds, here, work)
        case ToolWork():
            _tool(bounds, here, work)
        case ApprovalWork():
            _approval(bounds, here, work)
        case SleepWork():
            _sleep(bounds, here, work)
        case MapWork():
            _map(bounds, here, work)
        case SubWorkflow():
            _sub(bounds, here, work)


def _agent(bounds: Bounds, here: Place, work: AgentWork) -> None:
    match work.WhichOneof("performer"):
        case "name":
            bounds.name(f"{here.at}.name", work.name, AGENT_NAME)
        case "capability":
            bounds.name(f"{here.at}.capability", work.capability, CAPABILITY)
        case _:
            bounds.broken(f"{here.at}.name", "must be set, or `capability`")
    bounds.filled(f"{here.at}.input", work.input, TEMPLATE_BYTES)
    _template(bounds, here.field("input"), work.input)


def _tool(bounds: Bounds, here: Place, work: ToolWork) -> None:
    bounds.name(f"{here.at}.name", work.name, TOOL_NAME)
    bounds.whole(f"{here.at}.arguments", work.arguments, TEMPLATE_BYTES)
    if not is_json(Value(struct_value=work.arguments)):
        bounds.broken(f"{here.at}.arguments", "must hold JSON: finite numbers, no unset")
    for place, wrong in templates.invalid(work.arguments, here.names):
        bounds.broken(f"{here.at}.arguments{place}", f"must be a template: {wrong}")


def _approval(bounds: Bounds, here: Place, work: ApprovalWork) -> None:
    bounds.filled(f"{here.at}.question", work.question, EXPRESSION_BYTES)
    _template(bounds, here.field("question"), work.question)
    if work.show:
        check_expression(bounds, here.field("show"), work.show)
    if work.policy.condition:
        bounds.broken(f"{here.at}.policy.condition", "must be empty: edges have conditions")
    else:
        bounds.violations += approvals.violations(work.policy, f"{here.at}.policy")


def _sleep(bounds: Bounds, here: Place, work: SleepWork) -> None:
    match work.WhichOneof("wait"):
        case "duration":
            bounds.duration(f"{here.at}.duration", work.duration, _MONTH_S)
        case "until":
            bounds.filled(f"{here.at}.until", work.until, EXPRESSION_BYTES)
            _template(bounds, here.field("until"), work.until)
            if "${" not in work.until and not _is_time(work.until):
                bounds.broken(f"{here.at}.until", "must be a time such as 2026-12-24T18:00:00Z")
        case _:
            bounds.broken(f"{here.at}.duration", "must be set, or `until`")


def _map(bounds: Bounds, here: Place, work: MapWork) -> None:
    if work.over.strip():
        check_expression(bounds, here.field("over"), work.over)
    else:
        bounds.broken(f"{here.at}.over", "must not be empty")
    bounds.within(f"{here.at}.parallelism", work.parallelism, ITEMS_AT_ONCE)
    bounds.within(f"{here.at}.first", work.first, ITEMS)
    body = work.WhichOneof("body")
    if body is None:
        bounds.broken(here.at, "must hold one of agent, tool and workflow")
    else:
        _work(bounds, here.field(body).knowing(ITEM), getattr(work, body))


def _sub(bounds: Bounds, here: Place, work: SubWorkflow) -> None:
    match work.WhichOneof("which"):
        case "name":
            bounds.name(f"{here.at}.name", work.name, WORKFLOW_NAME)
        case None:
            bounds.broken(f"{here.at}.name", "must be set, or `inline`")
    bounds.text(f"{here.at}.input", work.input, TEMPLATE_BYTES)
    _template(bounds, here.field("input"), work.input)


def _compensation(bounds: Bounds, here: Place, node: Node) -> None:
    compensation: Compensation = node.compensation
    if node.WhichOneof("work") in _WAITS:
        bounds.broken(here.at, "must not be set for a wait: it has no effect to take back")
        return
    more = (*COMPENSATION, *ITEM) if node.HasField("map") else COMPENSATION
    kind = compensation.WhichOneof("work")
    if kind is None:
        bounds.broken(here.at, "must hold one of tool and agent")
    else:
        _work(bounds, here.field(kind).knowing(more), getattr(compensation, kind))
    _retry(bounds, f"{here.at}.retry", compensation.retry)


def _retry(bounds: Bounds, at: str, retry: NodeRetry) -> None:
    bounds.within(f"{at}.max_attempts", retry.max_attempts, ATTEMPTS)
    bounds.duration(f"{at}.backoff", retry.backoff, 3600)
    bounds.duration(f"{at}.max_backoff", retry.max_backoff, _DAY_S)
    bounds.count(f"{at}.reasons", len(retry.reasons), REASONS)
    for i, reason in enumerate(retry.reasons[:REASONS]):
        bounds.name(f"{at}.reasons[{i}]", reason, rf"[A-Z][A-Z0-9_]{{1,{REASON_CHARACTERS - 1}}}")


def _template(bounds: Bounds, here: Place, text: str) -> None:
    if len(text) > TEMPLATE_BYTES:
        return
    try:
        templates.template(text, here.names)
    except ConditionInvalid as wrong:
        bounds.broken(here.at, f"must be a template: {wrong}")


def _is_time(text: str) -> bool:
    try:
        Timestamp().FromJsonString(text)
    except ValueError:
        return False
    return True
