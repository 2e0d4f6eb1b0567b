"""One call, from the outside: arguments, outcomes, the ledger's verdicts."""

import asyncio
import json

import pytest
from harness.fakes import until
from integration.tools.conftest import Kit
from integration.tools.ledger import recorded

from pentad.state.v1.effect_service_pb2 import EffectOutcome
from pentad.state.v1.message_pb2 import Payload
from pentad.tools.v1.tools_service_pb2 import InvokeToolRequest
from pentad_chassis.errors import FailedPrecondition, Unavailable
from pentad_tools.tool import NOT_DONE, Done


async def test_a_call_is_begun_run_and_completed(kit: Kit) -> None:
    answer = await kit.invoke("calculator", '{"expression": "6 * 7"}')

    assert (answer.result.content_type, answer.result.text) == ("application/json", "42")
    assert not answer.replayed
    assert kit.ledger.seen == ["BeginEffect", "CompleteEffect", "completed"]
    assert kit.ledger.entry("1.0.0").outcome == EffectOutcome(result=answer.result)


async def test_a_repeat_is_replayed(kit: Kit) -> None:
    kit.probe.release.set()
    first = await kit.invoke("once")
    again = await kit.invoke("once")

    assert (first.result.text, first.replayed) == ("run 1", False)
    assert (again.result.text, again.replayed) == ("run 1", True)
    assert kit.probe.runs == 1


async def test_a_failure_is_recorded_and_replayed_too(kit: Kit) -> None:
    first = await kit.invoke("calculator", '{"expression": "1 / 0"}')
    again = await kit.invoke("calculator", '{"expression": "1 / 0"}')

    assert (first.error.reason, first.error.message) == ("TOOL_FAILED", "division by zero")
    assert again.error == first.error
    assert again.replayed


async def test_a_tool_knows_its_call(kit: Kit) -> None:
    answer = await kit.invoke("context_of_call")

    assert json.loads(answer.result.text) == {"tenant": "acme", "key": "07abc/1.0.0"}


@pytest.mark.parametrize(
    ("tool", "arguments", "reason", "message"),
    [
        ("none", "{}", "TOOL_NOT_FOUND", "there is no tool 'none'; there are: calculator, "),
        ("calculator", "{}", "TOOL_ARGUMENTS_INVALID", "expression: is required"),
        ("calculator", "", "TOOL_ARGUMENTS_INVALID", "expression: is required"),
        ("calculator", "{", "TOOL_ARGUMENTS_INVALID", "arguments: Invalid JSON"),
        (
            "calculator",
            '{"expression": "' + "1" * 300_000 + '"}',
            "TOOL_ARGUMENTS_INVALID",
            "arguments: at most 262144 characters",
        ),
    ],
)
async def test_what_cannot_run_is_an_outcome_and_enters_no_ledger(
    kit: Kit, tool: str, arguments: str, reason: str, message: str
) -> None:
    answer = await kit.invoke(tool, arguments)

    assert answer.error.reason == reason
    assert answer.error.message.startswith(message)
    assert kit.ledger.seen == []


async def test_binary_arguments_are_refused(kit: Kit) -> None:
    request = InvokeToolRequest(tool="calculator", arguments=Payload(binary=b"{}"))

    answer = await kit.stub.InvokeTool(request)

    assert answer.error.reason == "TOOL_ARGUMENTS_INVALID"


async def test_a_path_that_escapes_names_its_field(kit: Kit) -> None:
    answer = await kit.invoke("csv_describe", '{"file": "../secret.csv"}')

    assert answer.error.reason == "TOOL_ARGUMENTS_INVALID"
    assert answer.error.message == "file: is outside the data folder"


async def test_other_arguments_under_the_same_call_are_refused(kit: Kit) -> None:
    kit.probe.release.set()
    await kit.invoke("pure", '{"text": "a"}')

    with pytest.raises(FailedPrecondition) as caught:
        await kit.invoke("pure", '{"text": "b"}')

    assert caught.value.reason == "ARGUMENTS_CHANGED"
    assert (await kit.invoke("pure", ' {"text":"a"} ')).replayed


async def test_a_call_in_progress_elsewhere_is_waited_for(kit: Kit) -> None:
    kit.probe.release.set()
    await kit.invoke("once")
    entry = kit.ledger.entry("1.0.0")
    entry.outcome = None

    waiting = asyncio.create_task(kit.invoke("once"))
    await kit.ledger.saw("BeginEffect", 4)
    entry.outcome = recorded("theirs")

    answer = await waiting
    assert (answer.result.text, answer.replayed) == ("theirs", True)
    assert kit.probe.runs == 1


async def test_a_caller_without_patience_is_told_when_to_come_again(kit: Kit) -> None:
    kit.probe.release.set()
    await kit.invoke("once")
    kit.ledger.entry("1.0.0").outcome = None
    kit.ledger.retry_after_s = 3.0

    with pytest.raises(Unavailable) as caught:
        await kit.invoke("once", timeout=2.0)

    assert caught.value.reason == "CALL_IN_PROGRESS"
    assert caught.value.retry_after_s == 3.0
    assert caught.value.metadata == {"run_id": "07abc", "call_id": "1.0.0"}


async def abandoned(kit: Kit, tool: str) -> None:
    """Leave a call as a runner does that dies between begin and complete."""
    kit.probe.release.set()
    await kit.invoke(tool)
    kit.probe.release.clear()
    kit.ledger.entry("1.0.0").outcome = None
    kit.ledger.entry("1.0.0").abandoned = True
    kit.ledger.seen.clear()


async def test_a_pure_call_runs_again_after_a_crash(kit: Kit) -> None:
    await abandoned(kit, "pure")
    kit.probe.release.set()

    answer = await kit.invoke("pure")

    assert (answer.result.text, answer.replayed) == ("run 2", False)


async def test_a_once_call_without_a_check_is_never_repeated(kit: Kit) -> None:
    await abandoned(kit, "once")

    with pytest.raises(FailedPrecondition) as caught:
        await kit.invoke("once")

    assert caught.value.reason == "EFFECT_OUTCOME_UNKNOWN"
    told = {"run_id": "07abc", "call_id": "1.0.0", "tool": "once", "attempt": "1"}
    assert caught.value.metadata == told
    assert kit.probe.runs == 1
    assert kit.ledger.seen == ["BeginEffect"]


async def test_a_check_that_cannot_tell_leaves_it_to_a_person(kit: Kit) -> None:
    await abandoned(kit, "once_checked")

    with pytest.raises(FailedPrecondition) as caught:
        await kit.invoke("once_checked")

    assert caught.value.reason == "EFFECT_OUTCOME_UNKNOWN"
    assert kit.probe.runs == 1


async def test_a_check_that_finds_the_effect_settles_the_call(kit: Kit) -> None:
    await abandoned(kit, "once_checked")
    kit.probe.finding = Done("found")

    answer = await kit.invoke("once_checked")

    assert (answer.result.text, answer.replayed) == ("found", True)
    assert kit.ledger.seen == ["BeginEffect", "ResolveEffect"]
    assert kit.ledger.entry("1.0.0").outcome == recorded("found")
    assert kit.probe.runs == 1


async def test_a_check_that_finds_nothing_lets_the_call_run(kit: Kit) -> None:
    await abandoned(kit, "once_checked")
    kit.probe.finding = NOT_DONE
    kit.probe.release.set()

    answer = await kit.invoke("once_checked")

    assert (answer.result.text, answer.replayed) == ("run 2", False)
    assert kit.ledger.seen == ["BeginEffect", "ResolveEffect", "CompleteEffect", "completed"]


async def test_a_call_that_a_person_vouches_did_not_take_place_runs(kit: Kit) -> None:
    await abandoned(kit, "once")
    kit.probe.release.set()

    answer = await kit.invoke("once", not_done_up_to=1)

    assert (answer.result.text, answer.replayed) == ("run 2", False)
    assert kit.ledger.seen == ["BeginEffect", "ResolveEffect", "CompleteEffect", "completed"]
    assert (await kit.invoke("once", not_done_up_to=1)).replayed, "and it runs no third time"


async def test_what_a_person_found_out_counts_for_no_attempt_made_since(kit: Kit) -> None:
    """It is said late, by an owner that had slept, or again, by a request that comes twice."""
    await abandoned(kit, "once")
    lost = asyncio.create_task(kit.invoke("once", not_done_up_to=1))
    await until(lambda: kit.probe.runs == 2)
    lost.cancel()
    await asyncio.gather(lost, return_exceptions=True)
    kit.ledger.entry("1.0.0").abandoned = True

    with pytest.raises(FailedPrecondition) as doubted:
        await kit.invoke("once", not_done_up_to=1)

    assert doubted.value.reason == "EFFECT_OUTCOME_UNKNOWN"
    assert doubted.value.metadata["attempt"] == "2"
    assert kit.probe.runs == 2


async def test_a_person_is_believed_where_a_check_cannot_tell(kit: Kit) -> None:
    await abandoned(kit, "once_checked")
    kit.probe.release.set()

    assert (await kit.invoke("once_checked", not_done_up_to=1)).result.text == "run 2"


async def test_a_check_that_finds_the_effect_knows_better_than_a_person(kit: Kit) -> None:
    await abandoned(kit, "once_checked")
    kit.probe.finding = Done("found")

    answer = await kit.invoke("once_checked", not_done_up_to=1)

    assert (answer.result.text, answer.replayed) == ("found", True)
    assert kit.probe.runs == 1


async def test_a_ledger_that_holds_the_outcome_knows_better_than_a_person(kit: Kit) -> None:
    kit.probe.release.set()
    await kit.invoke("once")

    answer = await kit.invoke("once", not_done_up_to=1)

    assert (answer.result.text, answer.replayed, kit.probe.runs) == ("run 1", True, 1)
