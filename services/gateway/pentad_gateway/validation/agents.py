"""Requests about agents."""

from collections.abc import Collection

import re2
from google.protobuf.struct_pb2 import Value

from pentad.gateway.v1.agent_service_pb2 import (
    CreateAgentRequest,
    DeleteAgentRequest,
    GetAgentRequest,
    ListAgentsRequest,
    UpdateAgentRequest,
)
from pentad.state.v1.agent_pb2 import Agent, Limits, Routing, Rule
from pentad_chassis import native
from pentad_chassis.errors import FieldViolation
from pentad_gateway.validation.bounds import (
    AGENT_NAME,
    CAPABILITY,
    KIB,
    RULE_NAME,
    TOOL_NAME,
    Bounds,
    is_json,
)
from pentad_gateway.validation.budgets import check_budget
from pentad_gateway.validation.delegation import (
    callable_tools,
    check_agents,
    check_approvals,
)

PROVIDERS = ("openai", "anthropic", "rules")

AGENT_BYTES = 256 * KIB
DESCRIPTION_BYTES = 1 * KIB
INSTRUCTIONS_BYTES = 64 * KIB
TOOLS = 64
CAPABILITIES = 32
RULES = 100
PATTERN_CHARACTERS = 512

_MODEL = f"({'|'.join(PROVIDERS)}):[!-~]{{1,128}}"
_RESERVED = frozenset({"input", "steps"})
_INT32_MAX = 2**31 - 1
_DAY_S = 86_400


def _re2_options() -> re2.Options:
    options = re2.Options()
    options.log_errors = False
    # As in the executor, which searches large inputs; what a person writes needs a tenth.
    options.max_mem = 64 * KIB
    return options


_RE2 = _re2_options()


def create_agent(request: CreateAgentRequest) -> list[FieldViolation]:
    """Return what is wrong with the request."""
    bounds = Bounds()
    _agent(bounds, request)
    bounds.request_id(request.request_id)
    return bounds.violations


def update_agent(request: UpdateAgentRequest) -> list[FieldViolation]:
    """Return what is wrong with the request."""
    bounds = Bounds()
    _agent(bounds, request)
    _revision(bounds, "expected_revision", request.expected_revision)
    return bounds.violations


def get_agent(request: GetAgentRequest) -> list[FieldViolation]:
    """Return what is wrong with the request."""
    bounds = Bounds()
    bounds.name("name", request.name, AGENT_NAME)
    _revision(bounds, "revision", request.revision)
    return bounds.violations


def list_agents(request: ListAgentsRequest) -> list[FieldViolation]:
    """Return what is wrong with the request."""
    bounds = Bounds()
    if request.capability:
        bounds.name("capability", request.capability, CAPABILITY)
    bounds.page(request)
    return bounds.violations


def delete_agent(request: DeleteAgentRequest) -> list[FieldViolation]:
    """Return what is wrong with the request."""
    bounds = Bounds()
    bounds.name("name", request.name, AGENT_NAME)
    return bounds.violations


def unknown_tools(agent: Agent, catalogue: Collection[str]) -> list[FieldViolation]:
    """Return a violation for each tool of a well-formed agent that `catalogue` lacks."""
    return [
        FieldViolation(f"agent.tools[{i}]", f"no tool {tool!r}; ToolService.ListTools shows all")
        for i, tool in enumerate(agent.tools)
        if tool not in catalogue and tool not in native.NAMES
    ]


def check_limits(bounds: Bounds, at: str, limits: Limits) -> None:
    """Check the bounds that an agent or a run sets."""
    bounds.within(f"{at}.max_turns", limits.max_turns, 1000)
    bounds.within(f"{at}.max_tool_calls", limits.max_tool_calls, 10_000)
    bounds.within(f"{at}.max_output_tokens", limits.max_output_tokens, _INT32_MAX)
    bounds.within(f"{at}.max_repeats", limits.max_repeats, 100)
    bounds.duration(f"{at}.wall_time", limits.wall_time, 30 * _DAY_S)
    bounds.duration(f"{at}.turn_timeout", limits.turn_timeout, 3600)


def _revision(bounds: Bounds, field: str, value: int) -> None:
    if value < 0:
        bounds.broken(field, "must not be negative")


# Of a list that is too long only what its bound allows is looked at: the rest would cost time
# that a single request must not take, and tell the caller nothing.
def _agent(bounds: Bounds, request: CreateAgentRequest | UpdateAgentRequest) -> None:
    if not request.HasField("agent"):
        bounds.broken("agent", "must be set")
        return
    agent = request.agent
    if not bounds.whole("agent", agent, AGENT_BYTES):
        return
    bounds.name("agent.name", agent.name, AGENT_NAME)
    bounds.text("agent.description", agent.description, DESCRIPTION_BYTES)
    bounds.text("agent.instructions", agent.instructions, INSTRUCTIONS_BYTES)
    bounds.name("agent.model", agent.model, _MODEL)
    _tools(bounds, agent)
    tools = callable_tools(agent)
    check_agents(bounds, agent)
    check_approvals(bounds, agent, tools)
    bounds.count("agent.capabilities", len(agent.capabilities), CAPABILITIES)
    for i, capability in enumerate(agent.capabilities[:CAPABILITIES]):
        bounds.name(f"agent.capabilities[{i}]", capability, CAPABILITY)
    check_limits(bounds, "agent.limits", agent.limits)
    if agent.HasField("budget"):
        check_budget(bounds, "agent.budget", agent.budget)
    if agent.routing not in Routing.values():
        bounds.broken("agent.routing", "must be one of Routing's values")
    if agent.HasField("response_cache"):
        ttl = agent.response_cache.ttl
        bounds.duration("agent.response_cache.ttl", ttl, 7 * _DAY_S, least_s=1)
    _rules(bounds, agent, tools)


def _tools(bounds: Bounds, agent: Agent) -> None:
    bounds.count("agent.tools", len(agent.tools), TOOLS)
    tools = agent.tools[:TOOLS]
    bounds.unique("agent.tools[{}]", tools)
    for i, tool in enumerate(tools):
        bounds.name(f"agent.tools[{i}]", tool, TOOL_NAME)


def _rules(bounds: Bounds, agent: Agent, tools: Collection[str]) -> None:
    bounds.count("agent.rules", len(agent.rules), RULES)
    if agent.model.startswith("rules:") and not agent.rules:
        bounds.broken("agent.rules", "must hold the program of a `rules:` model")
    rules = agent.rules[:RULES]
    bounds.unique("agent.rules[{}].name", [rule.name for rule in rules])
    calls = {rule.name for rule in rules if rule.WhichOneof("action") == "call"}
    for i, rule in enumerate(rules):
        at = f"agent.rules[{i}]"
        _rule_name(bounds, f"{at}.name", rule.name)
        _pattern(bounds, f"{at}.input_pattern", rule.input_pattern)
        _conditions(bounds, at, rule, calls - {rule.name})
        _action(bounds, at, rule, tools)


def _rule_name(bounds: Bounds, field: str, name: str) -> None:
    bounds.name(field, name, RULE_NAME)
    if name in _RESERVED:
        bounds.broken(field, "must be neither `input` nor `steps`")


def _pattern(bounds: Bounds, field: str, pattern: str) -> None:
    if len(pattern) > PATTERN_CHARACTERS:
        bounds.broken(field, f"must be at most {PATTERN_CHARACTERS} characters")
        return
    try:
        re2.compile(pattern, _RE2)
    except re2.error:
        bounds.broken(field, "must be a valid and simple RE2 expression")


def _conditions(bounds: Bounds, at: str, rule: Rule, others: Collection[str]) -> None:
    bounds.count(f"{at}.after", len(rule.after), RULES)
    for i, name in enumerate(rule.after[:RULES]):
        if name not in others:
            bounds.broken(f"{at}.after[{i}]", "must name another rule that calls a tool")
    if rule.after_failure and rule.after_failure not in others:
        bounds.broken(f"{at}.after_failure", "must name another rule that calls a tool")


def _action(bounds: Bounds, at: str, rule: Rule, tools: Collection[str]) -> None:
    match rule.WhichOneof("action"):
        case None:
            bounds.broken(f"{at}.call", "must be set, or `answer`")
        case "call":
            if rule.call.tool not in tools:
                bounds.broken(f"{at}.call.tool", "must be one of the agent's tools")
            if not is_json(Value(struct_value=rule.call.arguments)):
                bounds.broken(f"{at}.call.arguments", "must hold JSON: finite numbers, no unset")
