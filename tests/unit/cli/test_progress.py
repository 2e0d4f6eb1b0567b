"""Events fold into what a person watches."""

from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console

from pentad.state.v1 import event_pb2 as pb
from pentad.state.v1.message_pb2 import Message, Payload, ToolCall, ToolError, Usage
from pentad.state.v1.run_pb2 import Failure, RunStatus
from pentad_cli.progress import Progress
from pentad_cli.timeline import timeline
from pentad_cli.tree import run_tree

CALL = ToolCall(call_id="0.1.0", tool="calculator", arguments=Payload(text='{"expression":"2*3"}'))
EVENTS = (
    pb.Event(run_created=pb.RunCreated(steps=[pb.PlannedStep(name="run", agent="clerk")])),
    pb.Event(run_started=pb.RunStarted(owner="o1", attempt=1)),
    pb.Event(turn_started=pb.TurnStarted(step="run", turn=1)),
    pb.Event(text_delta=pb.TextDelta(turn=1, text="Let me ")),
    pb.Event(text_delta=pb.TextDelta(turn=1, offset=7, text="see.")),
    pb.Event(
        turn_completed=pb.TurnCompleted(
            step="run",
            turn=1,
            model="m",
            usage=Usage(input_tokens=10, output_tokens=5, cost_nano_usd=1_000),
            message=Message(text="Let me see.", tool_calls=[CALL]),
        )
    ),
    pb.Event(tool_call_started=pb.ToolCallStarted(step="run", call_id="0.1.0", tool="calculator")),
    pb.Event(
        tool_call_completed=pb.ToolCallCompleted(
            step="run", call_id="0.1.0", tool="calculator", result=Payload(text="6")
        )
    ),
    pb.Event(
        run_completed=pb.RunCompleted(
            output="Six.", usage=Usage(input_tokens=10, output_tokens=5, cost_nano_usd=1_000)
        )
    ),
)


def at(seconds: int, event: pb.Event) -> pb.Event:
    stamped = pb.Event(run_id="01abc", seq=seconds + 1, time=Timestamp(seconds=1000 + seconds))
    stamped.MergeFrom(event)
    return stamped


def fold(*events: pb.Event) -> Progress:
    progress = Progress()
    for seconds, event in enumerate(events):
        progress.apply(at(seconds, event))
    return progress


def drawn(progress: Progress) -> str:
    console = Console(width=100, force_terminal=False)
    with console.capture() as capture:
        console.print(run_tree(progress, progress.elapsed_s))
    return capture.get()


def test_a_whole_run_is_drawn_with_turns_calls_results_and_cost() -> None:
    progress = fold(*EVENTS)

    tree = drawn(progress)

    assert progress.state == RunStatus.STATE_COMPLETED
    assert progress.output == "Six."
    assert progress.elapsed_s == 8.0
    for words in ("01abc", "clerk", "Let me see.", "calculator", '"2*3"', "→ 6", "15 tokens", "$"):
        assert words in tree


def test_text_grows_while_it_is_written() -> None:
    assert fold(*EVENTS[:5]).steps["run"].turns[1].text == "Let me see."


def test_a_delta_that_comes_twice_counts_once() -> None:
    assert fold(*EVENTS[:5], EVENTS[4]).steps["run"].turns[1].text == "Let me see."


def test_a_restarted_turn_voids_its_text() -> None:
    again = pb.Event(turn_restarted=pb.TurnRestarted(step="run", turn=1, attempt=2))
    progress = fold(*EVENTS[:5], again)

    assert progress.steps["run"].turns[1].text == ""
    assert "attempt 2" in drawn(progress)


def test_a_tools_error_and_the_runs_failure_are_shown() -> None:
    progress = fold(
        *EVENTS[:7],
        pb.Event(
            tool_call_completed=pb.ToolCallCompleted(
                step="run",
                call_id="0.1.0",
                tool="calculator",
                error=ToolError(reason="TOOL_FAILED", message="division by zero"),
            )
        ),
        pb.Event(run_failed=pb.RunFailed(failure=Failure(reason="X_LIMIT", message="too much"))),
    )

    assert "division by zero (TOOL_FAILED)" in drawn(progress)
    assert progress.reason == "too much (X_LIMIT)"


def test_a_tail_that_begins_in_the_middle_can_be_drawn() -> None:
    assert "→ 6" in drawn(fold(*EVENTS[6:]))


def test_text_of_models_and_tools_cannot_steer_the_terminal() -> None:
    evil = pb.Event(
        turn_completed=pb.TurnCompleted(
            step="run", turn=1, message=Message(text="\x1b[2J\x1b]0;title\x07[red]hi[/red]")
        )
    )

    tree = drawn(fold(*EVENTS[:3], evil))

    assert "\x1b" not in tree
    assert "[red]hi[/red]" in tree


def test_a_run_seen_before_any_event_can_be_drawn() -> None:
    assert "queued" in drawn(Progress())


def test_the_timeline_tells_every_journalled_event_once() -> None:
    lines = [str(entry) for entry in timeline(at(s, e) for s, e in enumerate(EVENTS))]

    assert len(lines) == 7, "text deltas repeat what their turn says"
    assert lines[0].split() == ["+0.000", "s", "run", "created", "run", "by", "clerk"]
    assert "0.1.0 calculator" in lines[3]
    assert lines[-1].endswith("15 tokens, $0.000001: Six.")


def test_an_answer_of_the_response_cache_is_said_to_be_one() -> None:
    again = pb.Event()
    again.CopyFrom(EVENTS[5])
    again.turn_completed.from_cache = True
    again.turn_completed.usage.CopyFrom(Usage(cost_nano_usd=0))
    words = "from the response cache"

    (entry,) = timeline([again])
    (usual,) = timeline([EVENTS[5]])

    assert entry.what.startswith(f"m, {words}: Let me see.")
    assert words not in usual.what
    assert words in drawn(fold(*EVENTS[:5], again))
    assert words not in drawn(fold(*EVENTS))


def test_an_event_of_a_newer_suite_is_told_without_words() -> None:
    (entry,) = timeline([pb.Event(run_id="x")])

    assert entry.kind == "unknown"
