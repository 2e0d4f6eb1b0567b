"""What people say of runs that wait, and how such runs are shown to them."""

import pytest
from rich.console import Console

from pentad.state.v1 import event_pb2 as pb
from pentad.state.v1.message_pb2 import Message, Payload, ToolCall
from pentad.state.v1.run_pb2 import Pause, Run, RunStatus, Settlement, UnknownEffect
from pentad_cli.commands.pauses import pause_fields, to_settlement
from pentad_cli.failure import CommandFailed
from pentad_cli.progress import Progress
from pentad_cli.timeline import timeline
from pentad_cli.tree import run_tree

EFFECT = UnknownEffect(call_id="0.1.0", tool="pay", arguments=Payload(text='{"to":"Bob"}'))
PAUSE = Pause(
    reason="EFFECT_OUTCOME_UNKNOWN", message="nobody knows about pay", unknown_effects=[EFFECT]
)
WISH = ToolCall(call_id="0.1.0", tool="pay", arguments=EFFECT.arguments)
EVENTS = (
    pb.Event(run_created=pb.RunCreated(steps=[pb.PlannedStep(name="run", agent="clerk")])),
    pb.Event(
        turn_completed=pb.TurnCompleted(step="run", turn=1, message=Message(tool_calls=[WISH]))
    ),
    pb.Event(tool_call_started=pb.ToolCallStarted(step="run", call_id="0.1.0", tool="pay")),
    pb.Event(effect_unknown=pb.EffectUnknown(step="run", call_id="0.1.0", tool="pay")),
    pb.Event(run_paused=pb.RunPaused(pause=PAUSE)),
    pb.Event(run_started=pb.RunStarted(owner="o2", attempt=2, owner_lost=True)),
    pb.Event(
        run_resumed=pb.RunResumed(
            reason="asked the bank",
            settlements=[
                Settlement(call_id="0.1.0", result=Payload(text="paid")),
                Settlement(call_id="0.1.1", not_done=True),
                Settlement(call_id="0.1.2", failure="refused"),
            ],
        )
    ),
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


@pytest.mark.parametrize(
    ("text", "settlement"),
    [
        ("0.1.0=not-done", Settlement(call_id="0.1.0", not_done=True)),
        (
            "0.1.0=failed:the bank said: no",
            Settlement(call_id="0.1.0", failure="the bank said: no"),
        ),
        (
            '0.1.0=done:"paid = yes"',
            Settlement(
                call_id="0.1.0", result=Payload(content_type="text/plain", text="paid = yes")
            ),
        ),
        (
            '0.1.0=done:{"id": 7}',
            Settlement(
                call_id="0.1.0", result=Payload(content_type="application/json", text='{"id": 7}')
            ),
        ),
    ],
)
def test_a_settlement_is_read_as_it_is_said(text: str, settlement: Settlement) -> None:
    assert to_settlement(text) == settlement


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0.1.0",
        "not-done",
        "=not-done",
        "0.1.0=not-done:really",
        "0.1.0=done",
        "0.1.0=done:paid",
        "0.1.0=failed",
        "0.1.0=failed: ",
        "0.1.0=perhaps",
    ],
)
def test_a_settlement_that_says_nothing_is_wrong_usage(text: str) -> None:
    with pytest.raises(CommandFailed) as failed:
        to_settlement(text)

    assert failed.value.exit_code == 2


def test_a_paused_run_shows_what_is_unknown_and_how_to_go_on() -> None:
    run = Run(run_id="r", status=RunStatus(state=RunStatus.STATE_PAUSED, pause=PAUSE))

    assert pause_fields(run) == [
        ("paused", "nobody knows about pay (EFFECT_OUTCOME_UNKNOWN)"),
        ("unknown", '0.1.0 pay {"to":"Bob"}'),
        ("go on with", "pentad resume r --settle 0.1.0=…"),
    ]
    assert pause_fields(Run()) == []


def test_a_run_that_waits_for_a_person_is_drawn_as_one() -> None:
    progress = fold(*EVENTS[:5])

    assert progress.state == RunStatus.STATE_PAUSED
    tree = drawn(progress)
    assert "paused" in tree
    assert "nobody knows whether it took place" in tree
    assert "nobody knows about pay" in tree


def test_a_run_that_was_resumed_has_no_reason_to_be_paused() -> None:
    progress = fold(*EVENTS)

    assert (progress.state, progress.reason) == (RunStatus.STATE_RUNNING, "")
    assert "nobody knows about pay" not in drawn(progress)


def test_the_timeline_tells_of_pauses_and_settlements() -> None:
    lines = [str(entry).split(" s  ", 1)[1] for entry in timeline(EVENTS)]

    assert lines[3] == "effect unknown       0.1.0 pay: nobody knows whether it took place"
    assert lines[4] == "run paused           nobody knows about pay (EFFECT_OUTCOME_UNKNOWN)"
    assert lines[5].endswith("by o2, owner number 2; the one before was lost")
    assert lines[6].endswith(
        "asked the bank; 0.1.0 took place: paid; 0.1.1 did not take place; 0.1.2 failed: refused"
    )
