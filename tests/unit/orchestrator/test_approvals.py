"""Calls that need a person's leave, and questions to people, case by case."""

import json
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
from unit.orchestrator.story import Story, asks, errs, returns, unknown
from unit.orchestrator.waits import CALL, calling, created, decided, elapse, outcome, timers

from pentad.state.v1.approval_pb2 import Approval
from pentad.state.v1.approval_policy_pb2 import ApprovalPolicy
from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.run_pb2 import RunStatus, Settlement
from pentad_orchestrator import approvals, plan
from pentad_orchestrator.commands import AwaitTimer, InvokeTool
from pentad_orchestrator.fold import UnexpectedEvent

DAY_S = 24 * 3600
DEAR = ApprovalPolicy(condition="arguments.amount > 100", approvers=["boss"])


def asked(story: Story) -> Approval:
    """Return the approval that was asked for last."""
    return [e for e in story.events if e.HasField("approval_requested")][
        -1
    ].approval_requested.approval


@pytest.mark.parametrize("by", ["agent", "tool"])
def test_a_call_that_needs_leave_is_asked_for_and_not_begun(by: str) -> None:
    made = created(policy=DEAR) if by == "agent" else created(own=DEAR)
    story = calling("add", made, amount=101)

    assert story.kinds[-2:] == ["turn_completed", "approval_requested"]
    approval = asked(story)
    assert (approval.approval_id, approval.key, approval.run_id) == ("07-run/0.1.0", CALL, "07-run")
    assert (approval.kind, approval.state) == (Approval.KIND_TOOL_CALL, Approval.STATE_PENDING)
    assert (approval.tool, approval.agent, list(approval.approvers)) == ("add", "clerk", ["boss"])
    assert json.loads(approval.arguments.text) == {"amount": 101}
    assert approval.arguments_digest == approvals.digest(approval.arguments)
    assert approval.expire_time.seconds == story.events[-2].time.seconds + 7 * DAY_S
    assert [type(c) for c in plan.decide(story.run)][:1] == [AwaitTimer]


def test_a_call_that_the_condition_lets_pass_is_begun() -> None:
    assert calling("add", created(policy=DEAR), amount=100).kinds[-1] == "tool_call_started"


@pytest.mark.parametrize("arguments", [{}, {"amount": "much"}, {"amount": [1]}])
def test_a_condition_that_cannot_be_answered_needs_leave(arguments: dict[str, Any]) -> None:
    assert calling("add", created(policy=DEAR), **arguments).kinds[-1] == "approval_requested"


def test_arguments_that_are_no_json_need_leave() -> None:
    story = Story(created(policy=DEAR)).start()
    event = asks(story.run, ["add"])
    event.turn_completed.message.tool_calls[0].arguments.text = "{"
    assert story.record(event).kinds[-1] == "approval_requested"


def test_a_policy_for_each_tool_spares_questions_and_sleep() -> None:
    made = created()
    made.agents[0].approvals.add(tool="*")

    assert calling("sub", made).kinds[-1] == "approval_requested"
    assert calling("sleep", made, seconds=1).kinds[-1] == "timer_started"
    assert calling("agent_helper", made, input="x").kinds[-1] == "approval_requested"


def test_an_approved_call_is_made() -> None:
    story = calling("add", created(policy=DEAR), amount=500).record(decided())

    assert story.kinds[-2:] == ["approval_decided", "tool_call_started"]
    assert InvokeTool(CALL) in plan.decide(story.run)
    assert not timers(story.run)


def test_leave_for_other_arguments_is_no_leave() -> None:
    """Whatever changed them, what was approved is what runs."""
    story = calling("add", created(policy=DEAR), amount=500)
    story.add(decided())
    told = story.run.approvals[CALL]
    told.approval.arguments_digest = approvals.digest(told.approval.arguments)[::-1]
    story.record()

    assert story.kinds[-2:] == ["approval_decided", "approval_requested"]
    assert not any(isinstance(c, InvokeTool) for c in plan.decide(story.run))


def test_a_refusal_goes_to_the_model_with_its_comment() -> None:
    story = calling("add", created(policy=DEAR), amount=500)
    story.record(decided(approved=False, comment="too much"))

    assert story.kinds[-3:] == ["approval_decided", "tool_call_completed", "turn_started"]
    assert outcome(story) == "TOOL_CALL_REFUSED: a person refused: too much"
    assert story.run.calls_started == 0
    assert story.run.messages[-1].failed


def test_an_approval_that_nobody_decides_expires() -> None:
    story = calling("add", created(policy=DEAR), amount=500)
    (waited,) = timers(story.run)
    elapse(story.wait(7 * DAY_S), waited)

    assert story.kinds[-3:] == ["approval_expired", "tool_call_completed", "turn_started"]
    assert outcome(story) == "TOOL_CALL_EXPIRED: nobody decided in time"


def test_others_may_decide_later_on_and_the_approval_expires_still() -> None:
    policy = ApprovalPolicy(
        approvers=["boss"],
        escalate_after=Duration(seconds=60),
        escalate_to=["owner"],
        expire_after=Duration(seconds=300),
    )
    story = calling("add", created(policy=policy))
    since_s = story.events[-2].time.seconds
    assert timers(story.run) == [AwaitTimer(CALL, since_s + 60)]
    elapse(story.wait(60), timers(story.run)[0])

    assert story.events[-1].approval_escalated.approvers == ["boss", "owner"]
    assert timers(story.run) == [AwaitTimer(CALL, since_s + 300)]
    assert story.record(decided()).kinds[-1] == "tool_call_started"


def test_who_may_decide_anyway_needs_no_escalation_to_be_named() -> None:
    policy = ApprovalPolicy(escalate_after=Duration(seconds=60), escalate_to=["owner"])
    story = calling("add", created(policy=policy))
    elapse(story.wait(60), timers(story.run)[0])

    assert story.events[-1].approval_escalated.approvers == []


def test_calls_that_need_no_leave_do_not_wait_for_those_that_do() -> None:
    story = calling("add", created(policy=ApprovalPolicy()), also="sub")

    assert story.kinds[-2:] == ["approval_requested", "tool_call_started"]
    story.record(returns("0.1.1"))
    assert plan.waiting(story.run) is not None
    story.record(decided())
    assert story.record(returns(CALL)).kinds[-1] == "turn_started"
    assert not story.run.approvals, "what is over is forgotten"


def test_a_decision_counts_once_and_only_while_it_is_asked_for() -> None:
    story = calling("add", created(policy=DEAR), amount=500).record(decided())

    assert not plan.follows(story.run, decided(approved=False))
    assert not plan.follows(story.run, decided("0.9.0"))
    with pytest.raises(UnexpectedEvent):
        plan.evolve(story.run, decided())


def test_a_question_waits_for_its_answer() -> None:
    schema = {"type": "object", "properties": {"size": {"enum": ["S", "M"]}}}
    story = calling("ask_human", question="Which size?", schema=schema)

    assert story.kinds[-2:] == ["tool_call_started", "approval_requested"]
    approval = asked(story)
    assert (approval.kind, approval.question) == (Approval.KIND_QUESTION, "Which size?")
    assert MessageToDict(approval.answer_schema) == schema
    story.record(decided(answer='{"size": "M"}'))
    assert outcome(story) == '{"size": "M"}'


def test_a_question_can_be_refused_and_expire() -> None:
    refused = calling("ask_human", question="Which?").record(decided(approved=False))
    assert outcome(refused) == "TOOL_CALL_REFUSED: a person refused"

    story = calling("ask_human", question="Which?")
    assert outcome(elapse(story, timers(story.run)[0])).startswith("TOOL_CALL_EXPIRED")


def test_an_agent_may_say_whom_its_questions_are_for() -> None:
    made = created()
    policy = ApprovalPolicy(approvers=["boss"], expire_after=Duration(seconds=9))
    made.agents[0].approvals.add(tool="ask_human", policy=policy)
    story = calling("ask_human", made, question="Which?")

    assert asked(story).approvers == ["boss"]
    assert timers(story.run) == [AwaitTimer(CALL, story.events[2].time.seconds + 9 + 1)]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({}, "question: is required"),
        ({"question": " "}, "question: String should match"),
        ({"question": "x", "to": "me"}, "to: there is no such argument"),
        ({"question": "x", "schema": {"type": "text"}}, "schema: no answer can be checked"),
        ({"question": "x", "schema": {"$ref": "http://x/y"}}, "schema: no answer can be checked"),
        ({"question": "x", "schema": {"pattern": "(?=a)b"}}, "schema: no answer can be checked"),
        ({"question": "x", "schema": {"title": "t" * 9000}}, "schema: has 9013 bytes"),
    ],
)
def test_a_question_that_cannot_be_asked_goes_back_to_the_model(
    arguments: dict[str, Any], problem: str
) -> None:
    story = calling("ask_human", **arguments)

    assert story.kinds[-2:] == ["tool_call_completed", "turn_started"]
    assert outcome(story).startswith(f"TOOL_ARGUMENTS_INVALID: {problem}")
    assert story.run.invalid_turns == 1


def states(story: Story, before: int) -> dict[str, str]:
    """Return what the last events make of approvals that people see."""
    run = plan.fold(story.events[:before])
    changes = approvals.changes(run, story.events[before:], story.run)
    return {c.approval.key: Approval.State.Name(c.approval.state)[6:] for c in changes}


def test_people_see_what_is_asked_for_and_what_expired() -> None:
    story = calling("add", created(policy=DEAR), amount=500)
    assert states(story, 3) == {CALL: "PENDING"}

    length = len(story.events)
    elapse(story, timers(story.run)[0])
    assert states(story, length) == {CALL: "EXPIRED"}
    run = plan.fold(story.events[:length])
    (change,) = approvals.changes(run, story.events[length:], story.run)
    assert change.must_be_pending, "somebody may have decided meanwhile"


def test_a_run_that_ends_withdraws_what_it_asks() -> None:
    story = calling("add", created(policy=DEAR), amount=500)
    end = plan.cancelled(story.run, "enough")
    assert end is not None
    length = len(story.events)
    story.add(end)

    assert states(story, length) == {CALL: "WITHDRAWN"}


def test_a_run_that_has_nothing_to_ask_changes_nothing() -> None:
    story = calling("sub")
    story.record(returns(CALL))

    assert states(story, 1) == {}


def test_effects_of_which_nobody_knows_are_asked_about_beside_the_pause() -> None:
    story = calling("sub")
    length = len(story.events)
    story.record(unknown(CALL))
    assert story.kinds[-1] == "run_paused"
    key = f"pause/{len(story.events)}"
    assert states(story, length) == {key: "PENDING"}
    (change,) = approvals.changes(plan.fold(story.events[:length]), story.events, story.run)
    assert change.approval.kind == Approval.KIND_UNKNOWN_EFFECTS
    assert [e.call_id for e in change.approval.unknown_effects] == [CALL]

    length = len(story.events)
    story.start(pause="look")
    assert states(story, length) == {}, "it is asked about once"
    story.resume(Settlement(call_id=CALL, failure="no"))
    assert states(story, length) == {}, "who resumed it answered"


def test_a_paused_run_that_is_cancelled_withdraws_its_question() -> None:
    story = calling("sub").record(unknown(CALL))
    length = len(story.events)
    end = plan.cancelled(story.run, "enough")
    assert end is not None
    story.add(end)

    assert states(story, length) == {f"pause/{length}": "WITHDRAWN"}


def test_a_person_may_decide_while_the_run_is_paused() -> None:
    story = calling("add", created(policy=DEAR), amount=500).record(pause="lunch")
    assert story.kinds[-1] == "run_paused"
    assert plan.status(story.run).state == RunStatus.STATE_PAUSED
    story.add(decided())

    assert story.resume().kinds[-1] == "tool_call_started"


def test_a_failure_of_pentads_own_ends_a_run_that_waits() -> None:
    story = calling("add", created(policy=ApprovalPolicy()), also="sub")
    story.record(errs("0.1.1", "ARGUMENTS_CHANGED"))

    assert story.kinds[-1] == "run_failed"


def test_a_decision_that_says_nothing_new_is_no_event() -> None:
    assert not plan.follows(calling("sub").run, Event())
