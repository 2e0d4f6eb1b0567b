"""A call while it runs: heartbeats, timeouts, callers that leave, a ledger that goes away."""

import asyncio

import pytest
from integration.tools.conftest import LIVELY, Kit
from integration.tools.ledger import recorded

from pentad_chassis.errors import DeadlineExceeded, FailedPrecondition, Unavailable
from pentad_tools.tool import NOT_DONE, Done


@LIVELY
async def test_a_long_call_gives_signs_of_life(kit: Kit) -> None:
    running = asyncio.create_task(kit.invoke("pure"))

    await kit.ledger.saw("ExtendEffect", 3)
    kit.probe.release.set()
    assert (await running).result.text == "run 1"

    assert kit.ledger.seen.count("completed") == 1


@LIVELY
async def test_a_sign_of_life_that_fails_is_followed_by_the_next(kit: Kit) -> None:
    kit.ledger.refusing["ExtendEffect"] = 1
    running = asyncio.create_task(kit.invoke("pure"))

    await kit.ledger.saw("ExtendEffect", 3)
    kit.probe.release.set()

    assert (await running).result.text == "run 1"


async def leave(kit: Kit, tool: str) -> None:
    calling = asyncio.create_task(kit.invoke(tool))
    await kit.probe.started.wait()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling


@LIVELY
async def test_a_once_call_is_finished_when_its_caller_leaves(kit: Kit) -> None:
    await leave(kit, "once")
    await kit.ledger.saw("ExtendEffect", 2)
    assert not kit.probe.stopped.is_set()

    kit.probe.release.set()
    await kit.ledger.saw("completed")

    again = await kit.invoke("once")
    assert (again.result.text, again.replayed) == ("run 1", True)


async def test_a_once_call_outlives_its_callers_deadline(kit: Kit) -> None:
    with pytest.raises(DeadlineExceeded):
        await kit.invoke("once", timeout=1.0)
    kit.probe.release.set()

    await kit.ledger.saw("completed")


async def test_a_pure_call_stops_when_its_caller_leaves(kit: Kit) -> None:
    await leave(kit, "pure")

    async with asyncio.timeout(5):
        await kit.probe.stopped.wait()
    assert "CompleteEffect" not in kit.ledger.seen


@LIVELY
async def test_a_stop_of_the_service_finishes_once_calls(kit: Kit) -> None:
    await leave(kit, "once")

    stopping = asyncio.create_task(kit.app.aclose())
    await kit.ledger.saw("ExtendEffect", 1)
    kit.probe.release.set()
    await stopping

    assert kit.ledger.entry("1.0.0").outcome is not None


async def test_a_pure_call_that_runs_out_of_time_is_an_outcome(kit: Kit) -> None:
    answer = await kit.invoke("pure_short")

    assert answer.error.reason == "TOOL_TIMEOUT"
    assert answer.error.message == "pure_short took more than 0.05 s"
    assert kit.probe.stopped.is_set()
    assert (await kit.invoke("pure_short")).replayed


async def test_a_once_call_that_runs_out_of_time_is_not_known_to_have_failed(kit: Kit) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        await kit.invoke("once_short")

    assert caught.value.reason == "EFFECT_OUTCOME_UNKNOWN"
    assert kit.ledger.entry("1.0.0").outcome is None


async def test_a_check_after_a_timeout_may_find_the_effect(kit: Kit) -> None:
    kit.probe.finding = Done("found")

    assert (await kit.invoke("once_short")).result.text == "found"
    assert (await kit.invoke("once_short")).replayed


async def test_a_check_after_a_timeout_may_find_that_nothing_happened(kit: Kit) -> None:
    kit.probe.finding = NOT_DONE

    assert (await kit.invoke("once_short")).error.reason == "TOOL_TIMEOUT"
    assert kit.ledger.entry("1.0.0").outcome is not None


@LIVELY
async def test_a_thread_that_overruns_is_held_and_recorded_at_its_end(kit: Kit) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        await kit.invoke("once_in_thread")
    assert caught.value.reason == "EFFECT_OUTCOME_UNKNOWN"

    await kit.ledger.saw("ExtendEffect", kit.ledger.seen.count("ExtendEffect") + 2)
    kit.probe.release_thread.set()
    await kit.ledger.saw("completed")

    again = await kit.invoke("once_in_thread")
    assert (again.result.text, again.replayed, kit.probe.runs) == ("late", True, 1)


@pytest.mark.parametrize("tool", ["pure", "once"])
async def test_an_outcome_is_recorded_when_the_store_is_back(kit: Kit, tool: str) -> None:
    kit.ledger.refusing["CompleteEffect"] = 4
    kit.probe.release.set()

    assert (await kit.invoke(tool)).result.text == "run 1"

    assert kit.ledger.seen.count("CompleteEffect") == 5
    assert kit.probe.runs == 1


@LIVELY
async def test_a_store_that_stays_away_is_an_error_and_the_call_may_be_repeated(kit: Kit) -> None:
    kit.ledger.refusing["CompleteEffect"] = 1000
    kit.probe.release.set()

    with pytest.raises(Unavailable):
        await kit.invoke("pure", timeout=1.5)

    assert kit.ledger.entry("1.0.0").outcome is None


async def test_a_call_that_was_taken_over_gets_the_others_outcome(kit: Kit) -> None:
    running = asyncio.create_task(kit.invoke("pure"))
    await kit.probe.started.wait()
    entry = kit.ledger.entry("1.0.0")
    entry.fence += 1
    entry.outcome = recorded("theirs")
    kit.probe.release.set()

    answer = await running

    assert (answer.result.text, answer.replayed) == ("theirs", True)
    assert kit.probe.runs == 1


async def test_an_entry_that_was_lost_takes_no_outcome_away(kit: Kit) -> None:
    running = asyncio.create_task(kit.invoke("once"))
    await kit.probe.started.wait()
    kit.ledger.entries.clear()
    kit.probe.release.set()

    assert (await running).result.text == "run 1"
