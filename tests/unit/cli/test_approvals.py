"""What people see of approvals, and how runs that wait are shown to them."""

import pytest
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console

from pentad.state.v1 import event_pb2 as pb
from pentad.state.v1.approval_pb2 import Approval, Decision
from pentad.state.v1.message_pb2 import Message, Payload, ToolCall
from pentad.state.v1.run_pb2 import Failure, RunStatus, UnknownEffect, Waiting
from pentad_cli.approvals import approval_fields, approval_row
from pentad_cli.commands.approvals import to_answer
from pentad_cli.failure import CommandFailed
from pentad_cli.progress import Progress
from pentad_cli.timeline import timeline
from pentad_cli.tree import run_tree

NOON = Timestamp(seconds=1_800_000_000)
APPROVAL = Approval(
    approval_id="01run/run.1.0",
    run_id="01run",
    key="run.1.0",
    kind=Approval.KIND_TOOL_CALL,
    state=Approval.STATE_PENDING,
    question="May the agent clerk call pay?",
    agent="clerk",
    tool="pay",
    arguments=Payload(text='{"to":"Bob"}'),
    arguments_digest=b"\xab" * 32,
    approvers=["ann"],
    escalate_to=["bob"],
    escalate_time=NOON,
    expire_time=NOON,
)
REFUSED = Decision(
    verdict=Decision.VERDICT_REFUSED, comment="too much", decided_by="ann", time=NOON
)
WISHES = [ToolCall(call_id=f"run.1.{n}", tool=tool) for n, tool in enumerate(("pay", "sleep", "x"))]
FAILED = RunStatus(
    state=RunStatus.STATE_FAILED, failure=Failure(reason="NO_PROGRESS", message="stuck")
)
WAITING = Waiting(approval_ids=["01run/run.1.0"], child_run_ids=["02run"], wake_time=NOON)
EVENTS = (
    pb.Event(run_created=pb.RunCreated(steps=[pb.PlannedStep(name="run", agent="clerk")])),
    pb.Event(
        turn_completed=pb.TurnCompleted(step="run", turn=1, message=Message(tool_calls=WISHES))
    ),
    pb.Event(approval_requested=pb.ApprovalRequested(approval=APPROVAL)),
    pb.Event(timer_started=pb.TimerStarted(key="run.1.1", fire_time=NOON)),
    pb.Event(child_started=pb.ChildStarted(key="run.1.2", index=1, run_id="02run")),
    pb.Event(run_waiting=pb.RunWaiting(waiting=WAITING)),
    pb.Event(run_started=pb.RunStarted(owner="o2", attempt=2)),
    pb.Event(approval_escalated=pb.ApprovalEscalated(key="run.1.0", approvers=["ann", "bob"])),
    pb.Event(approval_decided=pb.ApprovalDecided(key="run.1.0", decision=REFUSED)),
    pb.Event(approval_expired=pb.ApprovalExpired(key="run.1.0")),
    pb.Event(timer_fired=pb.TimerFired(key="run.1.1")),
    pb.Event(child_ended=pb.ChildEnded(key="run.1.2", index=1, status=FAILED)),
)


def drawn(progress: Progress) -> str:
    console = Console(width=100, force_terminal=False)
    with console.capture() as capture:
        console.print(run_tree(progress, 0.0))
    return capture.get()


def fold(*events: pb.Event) -> Progress:
    progress = Progress()
    for event in events:
        progress.apply(event)
    return progress


def changed(**fields: object) -> Approval:
    approval = Approval()
    approval.CopyFrom(APPROVAL)
    approval.MergeFrom(Approval(**fields))  # type: ignore[arg-type]
    return approval


def test_a_person_sees_all_that_it_takes_to_decide() -> None:
    shown = dict(approval_fields(APPROVAL))

    assert shown["arguments"] == '{"to":"Bob"}'
    assert shown["digest"] == "ab" * 32
    assert shown["may decide"] == "ann"
    assert shown["later also"].startswith("bob from ")
    assert shown["expires"]
    assert shown["decide"].splitlines() == [
        "pentad approve 01run/run.1.0",
        "pentad refuse 01run/run.1.0 --comment TEXT",
    ]
    assert approval_row(APPROVAL)[:3] == ("01run/run.1.0", "pending", "pay")


def test_what_was_decided_is_shown_and_not_how_to() -> None:
    shown = dict(approval_fields(changed(state=Approval.STATE_REFUSED, decision=REFUSED)))

    assert shown["decision"].startswith("refused by ann at ")
    assert shown["decision"].endswith(": too much")
    assert "decide" not in shown


def test_questions_and_unknown_effects_say_what_they_need() -> None:
    question = dict(approval_fields(changed(kind=Approval.KIND_QUESTION)))
    assert "pentad approve 01run/run.1.0 --answer JSON" in question["decide"]

    doubt = UnknownEffect(call_id="run.1.0", tool="pay")
    effects = changed(kind=Approval.KIND_UNKNOWN_EFFECTS, unknown_effects=[doubt])
    shown = dict(approval_fields(effects))
    assert shown["unknown"].startswith("run.1.0 pay")
    assert "--settle run.1.0=…" in shown["decide"]


def test_an_answer_is_json_where_the_question_says_which() -> None:
    schema = Struct()
    schema.update({"type": "string"})
    asked = Approval(kind=Approval.KIND_QUESTION, answer_schema=schema)

    assert to_answer(Approval(), "blue") == Payload(content_type="text/plain", text="blue")
    assert to_answer(asked, '"blue"') == Payload(content_type="application/json", text='"blue"')
    with pytest.raises(CommandFailed) as caught:
        to_answer(asked, "blue")
    assert caught.value.exit_code == 2


def test_every_event_of_a_waiting_run_is_told() -> None:
    told = [" ".join(str(entry).split()[2:]) for entry in timeline(EVENTS)][2:]

    assert told[0].startswith("approval requested 01run/run.1.0 of ann: May the agent clerk")
    assert told[0].endswith('pay {"to":"Bob"}')
    assert told[1].startswith("timer started run.1.1 until 20")
    assert told[2] == "child started run.1.2 [1] run 02run"
    assert told[3].startswith("run waiting 01run/run.1.0, run 02run, until 20")
    assert told[5] == "approval escalated run.1.0 to ann, bob"
    assert told[6] == "approval decided run.1.0 refused by ann: too much"
    assert told[7] == "approval expired run.1.0: nobody decided in time"
    assert told[8] == "timer fired run.1.1"
    assert told[9] == "child ended run.1.2 [1] failed: stuck (NO_PROGRESS)"


def test_a_waiting_run_shows_what_its_calls_wait_for() -> None:
    waiting = fold(*EVENTS[:6])

    assert waiting.state == RunStatus.STATE_WAITING
    assert not waiting.ended
    shown = drawn(waiting)
    assert "waiting" in shown
    for words in ("→ asks 01run/run.1.0", "→ waits until 20", "→ waits for run 02run"):
        assert words in shown

    awake = fold(*EVENTS)
    assert awake.state == RunStatus.STATE_RUNNING
    assert "asks 01run" not in drawn(awake)
