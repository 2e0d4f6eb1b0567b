"""Every bound that the protos state, from both of its sides."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.gateway.strategies import messages, valid_specs

from pentad.gateway.v1.agent_service_pb2 import (
    CreateAgentRequest,
    DeleteAgentRequest,
    GetAgentRequest,
    ListAgentsRequest,
    UpdateAgentRequest,
)
from pentad.gateway.v1.approval_service_pb2 import (
    DecideApprovalRequest,
    GetApprovalRequest,
    ListApprovalsRequest,
)
from pentad.gateway.v1.run_service_pb2 import (
    CancelRunRequest,
    CreateRunRequest,
    ExecuteRunRequest,
    GetRunRequest,
    ListRunsRequest,
    PauseRunRequest,
    ResumeRunRequest,
    TailRunRequest,
    WaitRunRequest,
)
from pentad.gateway.v1.session_service_pb2 import (
    DeleteSessionRequest,
    GetSessionRequest,
    ListMessagesRequest,
    ListSessionsRequest,
)
from pentad.gateway.v1.tool_service_pb2 import GetToolRequest
from pentad.gateway.v1.trace_service_pb2 import GetRunTraceRequest
from pentad.state.v1.agent_pb2 import Agent
from pentad_chassis.errors import FieldViolation
from pentad_chassis.status import to_grpc
from pentad_gateway import validation
from pentad_gateway.errors import RequestInvalid

KIB = 1024
NOW_S = 1_800_000_000.0
CHECKS: dict[type[Message], Callable[[Any], list[FieldViolation]]] = {
    CreateRunRequest: partial(validation.create_run, now_s=NOW_S),
    ExecuteRunRequest: partial(validation.create_run, now_s=NOW_S),
    TailRunRequest: validation.tail_run,
    WaitRunRequest: validation.wait_run,
    GetRunRequest: validation.get_run,
    GetRunTraceRequest: validation.get_run,
    ListRunsRequest: validation.list_runs,
    CancelRunRequest: validation.cancel_run,
    PauseRunRequest: validation.cancel_run,
    ResumeRunRequest: validation.resume_run,
    ListApprovalsRequest: validation.list_approvals,
    GetApprovalRequest: validation.get_approval,
    DecideApprovalRequest: validation.decide_approval,
    CreateAgentRequest: validation.create_agent,
    UpdateAgentRequest: validation.update_agent,
    GetAgentRequest: validation.get_agent,
    ListAgentsRequest: validation.list_agents,
    DeleteAgentRequest: validation.delete_agent,
    GetSessionRequest: validation.name_session,
    DeleteSessionRequest: validation.name_session,
    ListSessionsRequest: validation.list_sessions,
    ListMessagesRequest: validation.list_messages,
    GetToolRequest: validation.get_tool,
}

STEP: dict[str, Any] = {"name": "one", "input": "count", "agent": "clerk"}
SPEC: dict[str, Any] = {"agent": "clerk", "input": "hello"}
RULE: dict[str, Any] = {"name": "greet", "answer": "hello"}
CALL = {"name": "count", "call": {"tool": "calculator", "arguments": {"expression": "1+1"}}}
AGENT: dict[str, Any] = {
    "name": "clerk",
    "model": "rules:v1",
    "tools": ["calculator"],
    "rules": [CALL, RULE],
}


def fields(request: Message) -> list[str]:
    return [violation.field for violation in CHECKS[type(request)](request)]


def run(**changes: Any) -> CreateRunRequest:
    return ParseDict({"spec": SPEC | changes}, CreateRunRequest())


def agent(**changes: Any) -> CreateAgentRequest:
    return ParseDict({"agent": AGENT | changes}, CreateAgentRequest())


def rules(*given: dict[str, Any]) -> CreateAgentRequest:
    return agent(rules=[*given, RULE])


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"input": "x" * 256 * KIB},
        {"agent": "a" + "9" * 62},
        {"agent": None, "capability": "support.tickets-v1_x"},
        {"sessionId": "Customer:42._-"},
        {"sessionId": "s" * 128},
        {"simple": {}},
        {"multiStep": {"steps": [STEP]}},
        {"multiStep": {"steps": [STEP | {"agent": None, "capability": "counting"}]}},
        {"multiStep": {"steps": [STEP | {"agent": None}]}},
        {"agent": None, "multiStep": {"steps": [STEP]}},
        {"multiStep": {"steps": [STEP | {"name": f"s{i}"} for i in range(100)]}},
        {"limits": {"maxTurns": 1000, "maxToolCalls": 10000, "maxOutputTokens": 2**31 - 1}},
        {"limits": {"wallTime": "2592000s", "turnTimeout": "3600s"}},
    ],
)
def test_a_spec_within_its_bounds_is_valid(spec: dict[str, Any]) -> None:
    assert fields(run(**spec)) == []


@pytest.mark.parametrize(
    ("spec", "wrong"),
    [
        ({"input": ""}, ["spec.input"]),
        ({"input": " \n"}, ["spec.input"]),
        ({"input": "x" * (256 * KIB + 1)}, ["spec.input"]),
        ({"input": "é" * (128 * KIB + 1)}, ["spec.input"]),
        ({"agent": None}, ["spec.agent"]),
        ({"agent": ""}, ["spec.agent"]),
        ({"agent": "Clerk"}, ["spec.agent"]),
        ({"agent": "clerk\n"}, ["spec.agent"]),
        ({"agent": "a" * 64}, ["spec.agent"]),
        ({"agent": None, "capability": "9"}, ["spec.capability"]),
        ({"sessionId": "-no"}, ["spec.session_id"]),
        ({"sessionId": "s" * 129}, ["spec.session_id"]),
        ({"multiStep": {}}, ["spec.multi_step.steps"]),
        ({"multiStep": {"steps": [STEP | {"name": ""}]}}, ["spec.multi_step.steps[0].name"]),
        ({"multiStep": {"steps": [STEP | {"input": ""}]}}, ["spec.multi_step.steps[0].input"]),
        ({"multiStep": {"steps": [STEP, STEP]}}, ["spec.multi_step.steps[1].name"]),
        (
            {"agent": None, "multiStep": {"steps": [STEP, {"name": "two", "input": "x"}]}},
            ["spec.multi_step.steps[1].agent"],
        ),
        (
            {"multiStep": {"steps": [STEP | {"name": f"s{i}"} for i in range(101)]}},
            ["spec.multi_step.steps"],
        ),
        (
            {"multiStep": {"steps": [{"name": f"s{i}", "input": "x" * 250_000} for i in range(5)]}},
            ["spec"],
        ),
        ({"limits": {"maxTurns": -1}}, ["spec.limits.max_turns"]),
        ({"limits": {"maxTurns": 1001}}, ["spec.limits.max_turns"]),
        ({"limits": {"maxToolCalls": 10001}}, ["spec.limits.max_tool_calls"]),
        ({"limits": {"maxOutputTokens": -1}}, ["spec.limits.max_output_tokens"]),
        ({"limits": {"wallTime": "2592000.1s"}}, ["spec.limits.wall_time"]),
        ({"limits": {"wallTime": "-1s"}}, ["spec.limits.wall_time"]),
        ({"limits": {"turnTimeout": "3601s"}}, ["spec.limits.turn_timeout"]),
    ],
)
def test_a_spec_beyond_a_bound_names_its_field(spec: dict[str, Any], wrong: list[str]) -> None:
    assert fields(run(**spec)) == wrong


def test_every_violation_is_told_at_once() -> None:
    request = run(agent="?", input="", limits={"maxTurns": -1}, sessionId="?")
    request.request_id = "x" * 129

    assert fields(request) == [
        "spec.agent",
        "spec.input",
        "spec.session_id",
        "spec.limits.max_turns",
        "request_id",
    ]


def test_a_run_needs_a_spec() -> None:
    assert fields(CreateRunRequest(request_id="é" * 64)) == ["spec"]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"description": "d" * KIB, "instructions": "i" * 64 * KIB},
        {"model": "openai:meta-llama/Llama-3:free", "rules": []},
        {"model": "anthropic:claude", "rules": []},
        {"tools": ["calculator", *(f"t{i}" for i in range(63))]},
        {"capabilities": [f"c.{i}" for i in range(32)]},
        {"routing": "ROUTING_NEAREST_REGION"},
        {"limits": {"maxRepeats": 100}, "agents": ["a" * 58]},
        {"responseCache": {"ttl": "1s"}},
        {"responseCache": {"ttl": "604800s"}},
        {"rules": [{"name": f"r{i}", "answer": "x"} for i in range(100)]},
        {"rules": [CALL, {"name": "b", "inputPattern": "(?P<n>[0-9]+)", "answer": "{input.n}"}]},
        {"rules": [{"name": "b", "after": ["count"], "answer": "x"}, CALL]},
        {"rules": [CALL, {"name": "b", "afterFailure": "count", "answer": "x"}]},
        {"rules": [{"name": "b", "inputPattern": "é" * 512, "answer": ""}]},
    ],
)
def test_an_agent_within_its_bounds_is_valid(changes: dict[str, Any]) -> None:
    assert fields(agent(**changes)) == []


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"name": "9"}, ["agent.name"]),
        ({"description": "d" * (KIB + 1)}, ["agent.description"]),
        ({"instructions": "i" * (64 * KIB + 1)}, ["agent.instructions"]),
        ({"model": ""}, ["agent.model"]),
        ({"model": "gpt-5"}, ["agent.model"]),
        ({"model": "openai:"}, ["agent.model"]),
        ({"model": "openai:a b"}, ["agent.model"]),
        ({"model": "mistral:large"}, ["agent.model"]),
        ({"tools": ["calculator"] * 2}, ["agent.tools[1]"]),
        ({"tools": ["calculator", "Bad"]}, ["agent.tools[1]"]),
        ({"tools": ["calculator", *(f"t{i}" for i in range(64))]}, ["agent.tools"]),
        ({"capabilities": ["ok", ""]}, ["agent.capabilities[1]"]),
        ({"routing": 6}, ["agent.routing"]),
        ({"routing": -1}, ["agent.routing"]),
        ({"responseCache": {}}, ["agent.response_cache.ttl"]),
        ({"responseCache": {"ttl": "0.999999999s"}}, ["agent.response_cache.ttl"]),
        ({"responseCache": {"ttl": "604800.000000001s"}}, ["agent.response_cache.ttl"]),
        ({"responseCache": {"ttl": "-60s"}}, ["agent.response_cache.ttl"]),
        ({"capabilities": [f"c{i}" for i in range(33)]}, ["agent.capabilities"]),
        ({"limits": {"maxTurns": 1001}}, ["agent.limits.max_turns"]),
        ({"limits": {"maxRepeats": 101}}, ["agent.limits.max_repeats"]),
        ({"agents": ["a" * 59]}, ["agent.agents[0]"]),
        ({"rules": []}, ["agent.rules"]),
        ({"rules": [{"name": f"r{i}", "answer": "x"} for i in range(101)]}, ["agent.rules"]),
        ({"rules": [{"name": "a", "answer": "x" * 256 * KIB}]}, ["agent"]),
    ],
)
def test_an_agent_beyond_a_bound_names_its_field(changes: dict[str, Any], wrong: list[str]) -> None:
    assert fields(agent(**changes)) == wrong


@pytest.mark.parametrize(
    ("rule", "wrong"),
    [
        ({"name": "Bad", "answer": "x"}, "name"),
        ({"name": "input", "answer": "x"}, "name"),
        ({"name": "steps", "answer": "x"}, "name"),
        ({"name": "a", "inputPattern": "(", "answer": "x"}, "input_pattern"),
        ({"name": "a", "inputPattern": "(?=x)", "answer": "x"}, "input_pattern"),
        ({"name": "a", "inputPattern": r"[\pL]{1000}", "answer": "x"}, "input_pattern"),
        ({"name": "a", "inputPattern": "x" * 513, "answer": "x"}, "input_pattern"),
        ({"name": "a", "after": ["nobody"], "answer": "x"}, "after[0]"),
        ({"name": "a", "after": ["greet"], "answer": "x"}, "after[0]"),
        ({"name": "a", "afterFailure": "a", "answer": "x"}, "after_failure"),
        ({"name": "a"}, "call"),
        ({"name": "a", "call": {"tool": "other"}}, "call.tool"),
    ],
)
def test_a_rule_beyond_a_bound_names_its_field(rule: dict[str, Any], wrong: str) -> None:
    assert fields(rules(rule)) == [f"agent.rules[0].{wrong}"]


def test_two_rules_must_not_share_a_name() -> None:
    assert fields(rules(RULE)) == ["agent.rules[1].name"]


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_arguments_of_a_rule_must_be_json(number: float) -> None:
    request = rules(CALL)
    request.agent.rules[0].call.arguments["deep"] = [{"er": 0}]
    value = request.agent.rules[0].call.arguments.fields["deep"].list_value.values[0]
    value.struct_value.fields["er"].number_value = number

    assert fields(request) == ["agent.rules[0].call.arguments"]

    value.struct_value.fields["er"].ClearField("number_value")
    assert fields(request) == ["agent.rules[0].call.arguments"]


def test_an_agent_must_be_given_and_revisions_count_upwards() -> None:
    assert fields(CreateAgentRequest()) == ["agent"]
    assert fields(UpdateAgentRequest(expected_revision=-1)) == ["agent", "expected_revision"]
    assert fields(GetAgentRequest(name="clerk", revision=-1)) == ["revision"]


def test_tools_that_the_catalogue_lacks_are_named() -> None:
    wanted = Agent(tools=["calculator", "teleport"])

    assert validation.unknown_tools(wanted, {"calculator", "teleport"}) == []
    assert [v.field for v in validation.unknown_tools(wanted, {"calculator"})] == ["agent.tools[1]"]


@pytest.mark.parametrize(
    ("request_", "wrong"),
    [
        (TailRunRequest(run_id="1", after="x" * KIB), []),
        (TailRunRequest(after="x" * (KIB + 1)), ["run_id", "after"]),
        (GetRunRequest(), ["run_id"]),
        (GetRunRequest(run_id="x" * 129), ["run_id"]),
        (GetRunTraceRequest(), ["run_id"]),
        (CancelRunRequest(run_id="1", reason="é" * 512), []),
        (CancelRunRequest(run_id="1", reason="é" * 513), ["reason"]),
        (ListRunsRequest(page_size=500), []),
        (ListRunsRequest(page_size=501), ["page_size"]),
        (ListRunsRequest(page_size=-1, session_id="?"), ["session_id", "page_size"]),
        (ListRunsRequest(page_token="x" * (4 * KIB + 1)), ["page_token"]),
        (ListAgentsRequest(capability="?"), ["capability"]),
        (ListAgentsRequest(page_size=501), ["page_size"]),
        (DeleteAgentRequest(), ["name"]),
        (GetSessionRequest(), ["session_id"]),
        (DeleteSessionRequest(session_id="s"), []),
        (ListSessionsRequest(page_size=501), ["page_size"]),
        (ListMessagesRequest(page_size=501), ["session_id", "page_size"]),
        (GetToolRequest(name="calculator"), []),
        (GetToolRequest(name="../etc"), ["name"]),
    ],
)
def test_requests_that_name_things(request_: Message, wrong: list[str]) -> None:
    assert fields(request_) == wrong


def test_an_unknown_state_is_refused() -> None:
    request = ListRunsRequest.FromString(
        ListRunsRequest(page_size=1).SerializeToString() + b"\x08\x63"
    )

    assert fields(request) == ["state"]


@pytest.mark.parametrize(
    ("seconds", "nanos", "valid"),
    [
        (0, 0, True),
        (600, 0, True),
        (600, 1, False),
        (-1, 0, False),
        (1, -1, False),
        (0, 10**9, False),
        (2**62, 0, False),
    ],
)
def test_a_wait_is_ten_minutes_at_most(seconds: int, nanos: int, valid: bool) -> None:
    request = WaitRunRequest(run_id="1")
    request.timeout.seconds, request.timeout.nanos = seconds, nanos

    assert fields(request) == ([] if valid else ["timeout"])


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(list(CHECKS)).flatmap(messages))
def test_whatever_is_sent_gets_an_answer_that_names_real_fields(request: Message) -> None:
    violations = CHECKS[type(request)](request)

    for violation in violations:
        assert resolves(request.DESCRIPTOR, violation.field), violation.field
    if violations:
        _, message, trailing = to_grpc(RequestInvalid(violations))
        # Clients refuse metadata beyond 8 KiB; details travel in base 64 beside the message.
        assert len(trailing[0][1]) * 4 / 3 + len(message) < 7 * KIB


def test_no_number_of_violations_makes_the_answer_too_large() -> None:
    request = rules(*({"name": "?", "inputPattern": "(", "after": ["?"] * 100} for _ in range(99)))

    error = RequestInvalid(validation.create_agent(request))

    assert len(error.violations) == 20
    assert int(error.metadata["violations"]) > 9000
    assert len(to_grpc(error)[2][0][1]) < 4 * KIB


@given(valid_specs())
def test_every_spec_within_the_stated_bounds_passes(spec: dict[str, Any]) -> None:
    assert fields(ParseDict({"spec": spec}, CreateRunRequest())) == []


def resolves(descriptor: Any, path: str) -> bool:
    """Whether `path` leads through fields that exist, with an index where they repeat."""
    current = descriptor
    for part in path.split("."):
        found: Sequence[str] = re.findall(r"^([a-z_]+)(\[\d+\])?$", part)
        if not found or current is None or found[0][0] not in current.fields_by_name:
            return False
        field = current.fields_by_name[found[0][0]]
        if found[0][1] and not field.is_repeated:
            return False
        current = field.message_type
    return True
