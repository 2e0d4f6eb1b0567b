"""A call takes place once, as far as its tool's class promises it."""

import asyncio

import pytest
from harness.engines import ask
from harness.runs import COMPLETED, DONE, append, claimed, seconds

from pentad.state.v1.effect_service_pb2 import BeginEffectResponse, EffectKey, EffectOutcome
from pentad.state.v1.message_pb2 import Payload, ToolError
from pentad.state.v1.tool_pb2 import Effect
from pentad_state.core import StateCore
from pentad_state.errors import (
    ArgumentsChanged,
    EffectNotFound,
    PayloadTooLarge,
    StaleFence,
)
from pentad_state.partitions import key, partition_of_run

CALL = EffectKey(run_id="00" + "a" * 26, call_id="1.1.1")
RESULT = EffectOutcome(result=Payload(content_type="application/json", text='"ok"'))
ERROR = EffectOutcome(error=ToolError(reason="TOOL_FAILED", message="no"))
PURE, IDEMPOTENT, ONCE = Effect.EFFECT_PURE, Effect.EFFECT_IDEMPOTENT, Effect.EFFECT_ONCE
RUN = BeginEffectResponse.VERDICT_RUN
REPLAY = BeginEffectResponse.VERDICT_REPLAY
IN_PROGRESS = BeginEffectResponse.VERDICT_IN_PROGRESS
UNKNOWN = BeginEffectResponse.VERDICT_OUTCOME_UNKNOWN


async def begin(
    core: StateCore,
    runner: str = "one",
    effect: Effect.ValueType = ONCE,
    hold_s: float = 10,
    call: EffectKey = CALL,
    fingerprint: bytes = b"\x00print",
) -> BeginEffectResponse:
    return await core.effects.begin(call, fingerprint, effect, runner, seconds(hold_s))


async def test_a_completed_call_is_replayed(core: StateCore) -> None:
    begun = await begin(core)
    assert (begun.verdict, begun.fence) == (RUN, 1)

    assert await core.effects.complete(CALL, begun.fence, RESULT) == RESULT

    again = await begin(core, "two")
    assert (again.verdict, again.outcome) == (REPLAY, RESULT)


async def test_the_first_outcome_stays(core: StateCore) -> None:
    begun = await begin(core)
    await core.effects.complete(CALL, begun.fence, RESULT)

    assert await core.effects.complete(CALL, begun.fence, ERROR) == RESULT
    assert await core.effects.complete(CALL, begun.fence + 5, ERROR) == RESULT


async def test_other_arguments_are_refused(core: StateCore) -> None:
    await begin(core)

    with pytest.raises(ArgumentsChanged):
        await begin(core, fingerprint=b"other")


async def test_one_runner_at_a_time(core: StateCore) -> None:
    await begin(core)

    other = await begin(core, "two")

    assert other.verdict == IN_PROGRESS
    assert 0 < other.retry_after.ToMilliseconds() <= 10_000
    again = await begin(core, "one")
    assert (again.verdict, again.fence) == (RUN, 2)


async def test_of_many_runners_one_runs(core: StateCore) -> None:
    verdicts = [r.verdict for r in await asyncio.gather(*(begin(core, f"r{i}") for i in range(9)))]

    assert sorted(verdicts) == [RUN] + [IN_PROGRESS] * 8


@pytest.mark.parametrize("effect", [PURE, IDEMPOTENT])
async def test_a_call_that_may_be_repeated_is_taken_over_from_a_dead_runner(
    core: StateCore, effect: Effect.ValueType
) -> None:
    old = await begin(core, "one", effect, hold_s=0.05)
    await asyncio.sleep(0.1)

    new = await begin(core, "two", effect)

    assert (new.verdict, new.fence) == (RUN, 2)
    with pytest.raises(StaleFence):
        await core.effects.complete(CALL, old.fence, RESULT)
    with pytest.raises(StaleFence):
        await core.effects.extend(CALL, old.fence, seconds(1))


async def test_the_outcome_of_a_dead_runner_s_single_call_is_unknown(core: StateCore) -> None:
    old = await begin(core, "one", hold_s=0.05)
    await asyncio.sleep(0.1)

    new = await begin(core, "two")
    assert (new.verdict, new.fence) == (UNKNOWN, 2)
    assert (await begin(core, "three")).verdict == IN_PROGRESS
    again = await begin(core, "two", hold_s=0.05)
    assert (again.verdict, again.fence) == (UNKNOWN, 3)
    with pytest.raises(StaleFence):
        await core.effects.complete(CALL, old.fence, RESULT)
    await asyncio.sleep(0.1)
    assert (await begin(core, "three")).verdict == UNKNOWN


async def test_a_sign_of_life_keeps_others_away(core: StateCore) -> None:
    begun = await begin(core, hold_s=0.1)

    for _ in range(3):
        await asyncio.sleep(0.06)
        await core.effects.extend(CALL, begun.fence, seconds(0.1))
        assert (await begin(core, "two")).verdict == IN_PROGRESS


async def test_an_unknown_outcome_is_settled_by_what_was_found(core: StateCore) -> None:
    await begin(core, "one", hold_s=0.02)
    await asyncio.sleep(0.05)
    unknown = await begin(core, "two")

    await core.effects.resolve(CALL, unknown.fence, RESULT, seconds(1))
    await core.effects.resolve(CALL, unknown.fence, RESULT, seconds(1))

    assert (await begin(core, "three")).outcome == RESULT
    with pytest.raises(StaleFence):
        await core.effects.resolve(CALL, unknown.fence, ERROR, seconds(1))
    with pytest.raises(StaleFence):
        await core.effects.resolve(CALL, unknown.fence, None, seconds(1))


async def test_a_call_that_did_not_take_place_may_run(core: StateCore) -> None:
    await begin(core, "one", hold_s=0.02)
    await asyncio.sleep(0.05)
    unknown = await begin(core, "two")

    with pytest.raises(StaleFence):
        await core.effects.resolve(CALL, unknown.fence - 1, None, seconds(1))
    await core.effects.resolve(CALL, unknown.fence, None, seconds(0.05))
    await core.effects.resolve(CALL, unknown.fence, None, seconds(0.05))

    assert await core.effects.complete(CALL, unknown.fence, ERROR) == ERROR
    assert (await begin(core, "three")).outcome == ERROR


async def test_a_resolver_that_dies_leaves_the_outcome_unknown(core: StateCore) -> None:
    await begin(core, "one", hold_s=0.02)
    await asyncio.sleep(0.05)
    unknown = await begin(core, "two")
    await core.effects.resolve(CALL, unknown.fence, None, seconds(0.02))
    await asyncio.sleep(0.05)

    assert (await begin(core, "three")).verdict == UNKNOWN


async def test_attempts_are_counted_by_what_was_allowed_to_run(core: StateCore) -> None:
    """So that what is found out about one of them lets nobody run after the next."""
    begun = await begin(core, "one", hold_s=0.02)
    repeated = await begin(core, "one", hold_s=0.02)
    assert (begun.attempt, repeated.attempt) == (1, 1), "its answer was lost, and nothing was run"
    await asyncio.sleep(0.05)
    doubtful = [await begin(core, "two", hold_s=0.02), await begin(core, "two", hold_s=0.02)]
    assert [(b.verdict, b.attempt) for b in doubtful] == [(UNKNOWN, 1)] * 2

    allowed = [
        await core.effects.resolve(CALL, doubtful[-1].fence, None, seconds(0.02)) for _ in range(2)
    ]
    await asyncio.sleep(0.05)

    assert allowed == [2, 2], "a repeat allows nothing more"
    late = await begin(core, "three")
    assert (late.verdict, late.attempt) == (UNKNOWN, 2)


async def test_a_call_that_may_be_repeated_counts_its_runners(core: StateCore) -> None:
    attempts = []
    for runner in ("one", "two", "three"):
        attempts.append((await begin(core, runner, IDEMPOTENT, hold_s=0.01)).attempt)
        await asyncio.sleep(0.03)

    assert attempts == [1, 2, 3]


async def test_a_call_that_was_never_begun_is_not_found(core: StateCore) -> None:
    for step in (
        core.effects.extend(CALL, 1, seconds(1)),
        core.effects.complete(CALL, 1, RESULT),
        core.effects.resolve(CALL, 1, None, seconds(1)),
    ):
        with pytest.raises(EffectNotFound):
            await step


async def test_an_outcome_is_bounded(core: StateCore) -> None:
    begun = await begin(core)
    large = EffectOutcome(result=Payload(text="x" * 300_000))

    with pytest.raises(PayloadTooLarge) as caught:
        await core.effects.complete(CALL, begun.fence, large)
    assert caught.value.metadata["field"] == "outcome"


async def test_calls_are_forgotten_with_their_run(core: StateCore, engine: str) -> None:
    held = await claimed(core)
    call = EffectKey(run_id=held.lease.run_id, call_id="1.1.1")
    await begin(core, call=call)
    effects = key(partition_of_run(call.run_id), "effects", call.run_id)
    before = ask(engine, "PTTL", effects)

    await append(core, held.lease, 1, DONE, status=COMPLETED)

    after = ask(engine, "PTTL", effects)
    assert isinstance(before, int)
    assert isinstance(after, int)
    assert 0 < after <= 7 * 24 * 3600 * 1000 < before
