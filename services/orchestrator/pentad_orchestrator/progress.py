"""Runs that go in a circle: the same calls with the same results, again and again. Pure."""

from collections.abc import Iterator, Sequence

from pentad.state.v1.message_pb2 import Message
from pentad.state.v1.run_pb2 import Failure
from pentad_orchestrator.messages import answer_of
from pentad_orchestrator.run import Calling, Run

NO_PROGRESS = "NO_PROGRESS"


def stuck(run: Run, calling: Calling) -> Failure | None:
    """Return why a run ends whose turns repeat each other; None while they do not."""
    if _repeats(run, calling) < run.bounds.repeats:
        return None
    tool, repeats = calling.calls[0].wish.tool, run.bounds.repeats
    return Failure(
        reason=NO_PROGRESS,
        message=f"{repeats} turns in a row repeated the tool calls of the turn before them,"
        f" {tool} first, and got the same results",
        metadata={"tool": tool, "repeats": str(repeats)},
    )


def _repeats(run: Run, calling: Calling) -> int:
    """Return how many turns in a row, the last of them this one, repeat the one before."""
    repeats = 0
    for asked, answers in _turns_before(run.messages):
        # What was asked differs most often, and costs least to compare.
        if not _alike(asked, calling.message) or not _came_again(answers, calling):
            break
        repeats += 1
        if repeats == run.bounds.repeats:
            break
    return repeats


def _turns_before(messages: Sequence[Message]) -> Iterator[tuple[Message, Sequence[Message]]]:
    """Yield the turns of the step, the last one first: what was asked, and the answers."""
    end = len(messages)
    for place in range(len(messages) - 1, -1, -1):
        if messages[place].role != Message.ROLE_TOOL:
            yield messages[place], messages[place + 1 : end]
            end = place


def _alike(asked: Message, now: Message) -> bool:
    return len(asked.tool_calls) == len(now.tool_calls) and all(
        (before.tool, before.arguments) == (call.tool, call.arguments)
        for before, call in zip(asked.tool_calls, now.tool_calls, strict=True)
    )


def _came_again(answers: Sequence[Message], calling: Calling) -> bool:
    now = [answer_of(call) for call in calling.calls]
    return [answer.text for answer in answers] == [answer.text for answer in now]
