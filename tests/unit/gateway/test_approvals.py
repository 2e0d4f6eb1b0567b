"""What the gateway asks of decisions, of answers, and of agents that have to ask."""

import json
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct

from pentad.gateway.v1.agent_service_pb2 import CreateAgentRequest
from pentad.gateway.v1.approval_service_pb2 import DecideApprovalRequest, ListApprovalsRequest
from pentad.state.v1.approval_pb2 import Approval, Decision
from pentad.state.v1.message_pb2 import Payload
from pentad.state.v1.run_pb2 import Settlement
from pentad_chassis import native
from pentad_gateway import validation
from pentad_gateway.answers import check_answer
from pentad_gateway.errors import AnswerInvalid

APPROVED, REFUSED = Decision.VERDICT_APPROVED, Decision.VERDICT_REFUSED
SCHEMA = {
    "type": "object",
    "properties": {
        "colour": {"enum": ["red", "blue"]},
        "sizes": {"type": "array", "minItems": 1, "items": {"type": "integer"}},
    },
    "required": ["colour"],
    "additionalProperties": False,
}


def decision(**fields: Any) -> DecideApprovalRequest:
    return DecideApprovalRequest(**{"approval_id": "r/k", "verdict": APPROVED, **fields})


def question(schema: dict[str, Any] | None = None) -> Approval:
    approval = Approval(kind=Approval.KIND_QUESTION)
    if schema is not None:
        made = Struct()
        made.update(schema)
        approval.answer_schema.CopyFrom(made)
    return approval


def fields(*requests: Any) -> list[str]:
    return [violation.field for request in requests for violation in request]


def test_a_decision_is_bounded() -> None:
    assert validation.decide_approval(decision(comment="ä" * 2048)) == []
    assert validation.decide_approval(decision(arguments_digest=b"x" * 32)) == []

    assert fields(validation.decide_approval(DecideApprovalRequest())) == ["approval_id", "verdict"]
    bad = decision(
        request_id="pentad:child/1",
        comment="x" * 4097,
        answer=Payload(),
        settlements=[Settlement(call_id="a")],
        arguments_digest=b"short",
    )
    assert fields(validation.decide_approval(bad)) == [
        "request_id",
        "comment",
        "answer",
        "settlements[0]",
        "arguments_digest",
    ]
    large = decision(answer=Payload(text="x" * 256 * 1024))
    assert fields(validation.decide_approval(large)) == ["answer"]


def test_a_list_has_a_state_that_there_is() -> None:
    assert validation.list_approvals(ListApprovalsRequest(state=Approval.STATE_PENDING)) == []
    wrong = ListApprovalsRequest(state=9, run_id="x" * 129, page_size=501)  # type: ignore[arg-type]
    assert fields(validation.list_approvals(wrong)) == ["state", "run_id", "page_size"]


def test_only_a_question_is_answered_and_needs_to_be() -> None:
    text = Payload(content_type="text/plain", text="blue")
    call = Approval(kind=Approval.KIND_TOOL_CALL)

    assert validation.decision_on(call, decision()) == []
    assert validation.decision_on(question(), decision(answer=text)) == []
    assert validation.decision_on(question(), decision(comment="blue")) == []
    assert validation.decision_on(question(SCHEMA), decision(verdict=REFUSED)) == []

    assert fields(validation.decision_on(call, decision(answer=text))) == ["answer"]
    refusal = decision(verdict=REFUSED, answer=text)
    assert fields(validation.decision_on(question(), refusal)) == ["answer"]
    assert fields(validation.decision_on(question(), decision())) == ["answer"]
    commented = decision(comment="blue")
    assert fields(validation.decision_on(question(SCHEMA), commented)) == ["answer.text"]


def test_effects_are_settled_only_where_some_are_unknown() -> None:
    settled = decision(settlements=[Settlement(call_id="a", not_done=True)])

    assert validation.decision_on(Approval(kind=Approval.KIND_UNKNOWN_EFFECTS), settled) == []
    gate = Approval(kind=Approval.KIND_GATE)
    assert fields(validation.decision_on(gate, settled)) == ["settlements"]


@pytest.mark.parametrize("answer", [{"colour": "red"}, {"colour": "blue", "sizes": [1, 2.0]}])
def test_an_answer_that_fits_its_schema_is_taken(answer: object) -> None:
    check_answer(question(SCHEMA), Payload(text=json.dumps(answer)))


@pytest.mark.parametrize(
    ("answer", "places"),
    [
        ("{}", ["answer"]),
        ('{"colour": "green"}', ["answer.colour"]),
        ('{"colour": "red", "sizes": [1, "x"]}', ["answer.sizes[1]"]),
        ('{"colour": "red", "sizes": []}', ["answer.sizes"]),
        ('{"colour": "red", "more": 1}', ["answer"]),
        ("red", ["answer"]),
        ("NaN", ["answer"]),
        ("[" * 100_000, ["answer"]),
    ],
)
def test_an_answer_that_does_not_names_every_place(answer: str, places: list[str]) -> None:
    with pytest.raises(AnswerInvalid) as caught:
        check_answer(question(SCHEMA), Payload(text=answer))

    assert caught.value.reason == "ANSWER_INVALID"
    assert fields(caught.value.violations) == places
    assert all(v.description for v in caught.value.violations)


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "http://127.0.0.1:1/schema"},
        {"$ref": "file:///etc/passwd"},
        {"type": "nothing"},
        {"pattern": "(?=x)"},
        {"pattern": "^(a|b){1,1000}{1,1000}$"},
    ],
)
def test_a_schema_that_reaches_out_or_is_none_lets_no_answer_through(
    schema: dict[str, Any],
) -> None:
    with pytest.raises(AnswerInvalid):
        check_answer(question(schema), Payload(text='"x"'))


def test_a_pattern_cannot_stall_the_gateway() -> None:
    with pytest.raises(AnswerInvalid):
        check_answer(question({"pattern": "^(a+)+$"}), Payload(text=json.dumps("a" * 50_000 + "b")))


def test_without_a_schema_any_answer_is_taken() -> None:
    check_answer(question(), Payload(text="{"))
    check_answer(question(SCHEMA), Payload())


def agent(**more: Any) -> CreateAgentRequest:
    made = {"name": "clerk", "model": "openai:gpt-5", "tools": ["notebook"], **more}
    return ParseDict({"agent": made}, CreateAgentRequest())


@pytest.mark.parametrize(
    "more",
    [
        {"approvals": [{"tool": "notebook", "policy": {"condition": "arguments.n > 3.0"}}]},
        {"approvals": [{"tool": "*"}, {"tool": "notebook"}]},
        {"agents": ["data-clerk"], "approvals": [{"tool": "agent_data_clerk"}]},
        {"tools": ["ask_human", "sleep"], "approvals": [{"tool": "ask_human"}]},
        {"agents": [f"a{n}" for n in range(16)]},
    ],
)
def test_agents_that_ask_and_delegate_are_accepted(more: dict[str, Any]) -> None:
    assert validation.create_agent(agent(**more)) == []


@pytest.mark.parametrize(
    ("more", "places"),
    [
        ({"approvals": [{"tool": "other"}]}, ["agent.approvals[0].tool"]),
        ({"approvals": [{"tool": "*"}, {"tool": "*"}]}, ["agent.approvals[1].tool"]),
        (
            {"approvals": [{"tool": "*", "policy": {"condition": "1"}}]},
            ["agent.approvals[0].policy.condition"],
        ),
        ({"agents": ["clerk"]}, ["agent.agents[0]"]),
        ({"agents": ["a", "a"]}, ["agent.agents[1]"]),
        ({"agents": ["No"]}, ["agent.agents[0]"]),
        ({"agents": [f"a{n}" for n in range(17)]}, ["agent.agents"]),
    ],
)
def test_agents_that_cannot_ask_or_delegate_are_refused(
    more: dict[str, Any], places: list[str]
) -> None:
    assert fields(validation.create_agent(agent(**more))) == places


def test_native_tools_stand_in_no_catalogue_and_are_known() -> None:
    made = agent(tools=["ask_human", "sleep", "teleport"]).agent

    assert fields(validation.unknown_tools(made, set())) == ["agent.tools[2]"]
    assert native.tool_of("data-clerk") == "agent_data_clerk"
