"""What concurrent clients see could have happened one step after the other.

Clients of two replicas do what chance says with a few things that they share; some leave before
they are answered. Each thing's history, with the times of calls and answers, is then searched for
an order that explains every answer.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Sequence
from contextlib import suppress
from random import Random
from typing import Any

import pytest
from harness.engines import ask
from harness.linearizable import Operation, Step, check_keys
from harness.runs import RUNNING, TENANT, TURN, by, create, seconds

from pentad.state.v1.effect_service_pb2 import BeginEffectResponse, EffectKey, EffectOutcome
from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.message_pb2 import Message, Payload
from pentad.state.v1.run_service_pb2 import Lease
from pentad.state.v1.session_pb2 import SessionMessage
from pentad.state.v1.tool_pb2 import Effect
from pentad_chassis.errors import ServiceError
from pentad_chassis.telemetry import silent_telemetry
from pentad_state.app import open_core
from pentad_state.config import Config
from pentad_state.core import StateCore
from pentad_state.partitions import partition_of_run
from pentad_state.turns import Candidate

CLIENTS = 10
STEPS = 24
LEAVES = 0.03
"""Part of the calls whose caller does not wait for the answer."""

Draw = Callable[[Random], Hashable]
Perform = Callable[[StateCore, str, Any], Awaitable[Hashable]]
"""Does what a call says with the thing of a name, and returns the answer as the model gives it."""


@pytest.fixture
async def cores(engine: str) -> AsyncIterator[Sequence[StateCore]]:
    """Two replicas over an empty engine."""
    ask(engine, "FLUSHALL")
    async with (
        open_core(engine, Config(), silent_telemetry("state")) as one,
        open_core(engine, Config(), silent_telemetry("state")) as two,
    ):
        yield one, two


async def history(
    cores: Sequence[StateCore], names: Sequence[str], draw: Draw, perform: Perform
) -> list[tuple[str, Operation]]:
    """Return what clients did with the things of those names, and when."""
    done: list[tuple[str, Operation]] = []

    async def client(number: int) -> None:
        chance = Random(number)  # noqa: S311 - it decides what a test does
        for _ in range(STEPS):
            name, call = chance.choice(names), draw(chance)
            doing = asyncio.ensure_future(perform(chance.choice(cores), name, call))
            begun_s = time.perf_counter()
            if chance.random() < LEAVES:
                await asyncio.sleep(chance.uniform(0, 0.002))
                doing.cancel()
            with suppress(asyncio.CancelledError):
                answer = await doing
                done.append((name, Operation(call, answer, begun_s, time.perf_counter())))
                continue
            done.append((name, Operation(call, None, begun_s)))

    await asyncio.gather(*map(client, range(CLIENTS)))
    return done


def explain(done: Sequence[tuple[str, Operation]], step: Step[Any], initial: Hashable) -> None:
    """Fail unless every thing's history has an order that explains it."""
    answers = {operation.answer for _, operation in done}
    assert len(answers) > 3, "too little happened to prove anything"
    for name, verdict in check_keys(done, step, initial).items():
        pytest.fail(
            f"{name} cannot have happened: {len(verdict.longest)} operations can be explained,"
            f" and then none of {verdict.stuck} behind {verdict.longest[-3:]}"
        )


def draw_entry(chance: Random) -> Hashable:
    expected = chance.choice([None, 0, 1, 2, 3, 4])
    return chance.choice(
        [("get",), ("put", chance.randbytes(2), expected), ("put", chance.randbytes(2), expected),
         ("delete", expected)]
    )  # fmt: skip


async def with_entry(core: StateCore, name: str, call: Any) -> Hashable:
    try:
        match call:
            case ("get",):
                entry = await core.entries.get("scope", name)
                return entry.version, entry.value
            case ("put", value, expected):
                return (await core.entries.put("scope", name, value, expected, None)).version
            case ("delete", expected):
                await core.entries.delete("scope", name, expected)
    except ServiceError as error:
        return error.reason, error.metadata.get("actual_version", "")
    return "ok"


def entry(state: tuple[int, bytes], call: Any) -> tuple[tuple[int, bytes], Hashable]:
    version, value = state
    match call:
        case ("get",):
            return state, (version, value) if version else ("ENTRY_NOT_FOUND", "")
        case ("put", new, expected) if expected in {None, version}:
            return (version + 1, new), version + 1
        case ("delete", expected) if expected in {None, version} or not version:
            return (0, b""), "ok"
    return state, ("VERSION_MISMATCH", str(version))


async def test_entries_change_one_step_after_the_other(cores: Sequence[StateCore]) -> None:
    explain(await history(cores, ["a", "b", "c"], draw_entry, with_entry), entry, (0, b""))


async def test_a_put_in_two_steps_would_be_noticed(cores: Sequence[StateCore]) -> None:
    """Or the other tests would prove nothing."""

    async def carelessly(core: StateCore, name: str, call: Any) -> Hashable:
        match call:
            case ("put", value, int(expected)):
                found: Any = await with_entry(core, name, ("get",))
                version = found[0] if isinstance(found[0], int) else 0
                call = ("put", value, None if version == expected else expected)
        return await with_entry(core, name, call)

    done = await history(cores, ["a"], draw_entry, carelessly)

    assert check_keys(done, entry, (0, b"")).keys() == {"a"}


Run = tuple[int, bool, tuple[str, ...]]
"""A run's fence, whether somebody holds it, and the ids of its appends, one an event."""


def draw_run(chance: Random) -> Hashable:
    fence, seq = chance.randint(1, 8), chance.randint(1, 12)
    kind = chance.choice(["claim", "claim", "release", *["append"] * 6])
    append_id = chance.choice([f"{fence}.{seq}", f"{fence}.{seq}", "other"])
    return {"claim": ("claim",), "release": ("release", fence)}.get(
        kind, ("append", fence, seq, append_id)
    )


async def test_runs_change_one_step_after_the_other(cores: Sequence[StateCore]) -> None:
    places: dict[str, bytes] = {}
    for n in range(3):
        run = await create(cores[0], f"r{n}")
        (view,) = (await cores[0].leases.peek([partition_of_run(run.run_id)], 10)).values()
        places |= {c.run_id: c.place for c in view.candidates}

    async def with_run(core: StateCore, run_id: str, call: Any) -> Hashable:
        match call:
            case ("claim",):
                candidate = Candidate(run_id, places[run_id], TENANT, 11, begun=True, since_ms=0)
                held = await core.leases.claim(candidate, by("anybody", 600))
                return None if held is None else (held.lease.fence, held.last_seq)
            case ("release", fence):
                await core.leases.release([Lease(run_id=run_id, fence=fence)])
                return "ok"
            case ("append", fence, seq, append_id):
                lease = Lease(run_id=run_id, fence=fence)
                try:
                    events = [Event.FromString(TURN.SerializeToString())]
                    (kept,) = await core.appends.append(lease, seq, append_id, events, RUNNING)
                except ServiceError as error:
                    return error.reason
                return kept.seq
        raise AssertionError(call)

    done = await history(cores, sorted(places), draw_run, with_run)
    explain(done, run_step, (0, False, ("created",)))


def run_step(state: Run, call: Any) -> tuple[Run, Hashable]:  # noqa: PLR0911 - a table of rules
    fence, held, tags = state
    match call:
        case ("claim",):
            if held:
                return state, None
            return (fence + 1, True, tags), (fence + 1, len(tags))
        case ("release", by_fence):
            return (fence, held and by_fence != fence, tags), "ok"
        case ("append", by_fence, seq, append_id):
            if len(tags) > seq and tags[seq] == append_id:
                return state, seq + 1
            if not held or by_fence != fence:
                return state, "STALE_FENCE"
            if len(tags) != seq:
                return state, "SEQ_CONFLICT"
            return (fence, held, (*tags, append_id)), seq + 1
    raise AssertionError(call)


Call = tuple[str, int, bytes, str]
"""A call's runner, fence and fingerprint, and its outcome or nothing."""


def draw_effect(chance: Random) -> Hashable:
    runner, fence = chance.choice(["one", "two", "three"]), chance.randint(1, 5)
    fingerprint = b"print" if chance.random() < 0.9 else b"other"
    begin = ("begin", runner, fingerprint)
    return chance.choice([begin, begin, begin, ("complete", fence, f"{runner}'s")])


async def with_effect(core: StateCore, name: str, call: Any) -> Hashable:
    key = EffectKey(run_id="07" + "a" * 26, call_id=name)
    try:
        match call:
            case ("begin", runner, fingerprint):
                once = Effect.EFFECT_ONCE
                begun = await core.effects.begin(key, fingerprint, once, runner, seconds(600))
                verdict = BeginEffectResponse.Verdict.Name(begun.verdict)
                return verdict, begun.fence, begun.outcome.result.text
            case ("complete", fence, text):
                outcome = EffectOutcome(result=Payload(text=text))
                return (await core.effects.complete(key, fence, outcome)).result.text
    except ServiceError as error:
        return error.reason
    raise AssertionError(call)


def effect(state: Call, call: Any) -> tuple[Call, Hashable]:  # noqa: PLR0911 - a table of rules
    holder, fence, fingerprint, outcome = state
    match call:
        case ("begin", _, wanted) if fence and wanted != fingerprint:
            return state, "ARGUMENTS_CHANGED"
        case ("begin", _, _) if outcome:
            return state, ("VERDICT_REPLAY", 0, outcome)
        case ("begin", runner, _) if fence and runner != holder:
            return state, ("VERDICT_IN_PROGRESS", 0, "")
        case ("begin", runner, wanted):
            return (runner, fence + 1, wanted, ""), ("VERDICT_RUN", fence + 1, "")
        case ("complete", _, _) if not fence:
            return state, "EFFECT_NOT_FOUND"
        case ("complete", _, _) if outcome:
            return state, outcome
        case ("complete", by_fence, _) if by_fence != fence:
            return state, "STALE_FENCE"
        case ("complete", _, text):
            return (holder, fence, fingerprint, text), text
    raise AssertionError(call)


async def test_effects_change_one_step_after_the_other(cores: Sequence[StateCore]) -> None:
    names = [f"call{n}" for n in range(12)]
    explain(await history(cores, names, draw_effect, with_effect), effect, ("", 0, b"", ""))


def draw_session(chance: Random) -> Hashable:
    return chance.choice([("append", f"run{chance.randint(1, 40)}"), ("read",)])


async def with_session(core: StateCore, name: str, call: Any) -> Hashable:
    match call:
        case ("append", append_id):
            said = [
                SessionMessage(message=Message(text=f"{append_id} {word}"))
                for word in ("asks", "answers")
            ]
            session = await core.sessions.append(TENANT, name, append_id, said, None)
            return session and session.last_seq
        case ("read",):
            messages, _ = await core.sessions.window(TENANT, name, 0, 0, 0)
            return tuple(message.text for message in messages)
    raise AssertionError(call)


def session(state: tuple[str, ...], call: Any) -> tuple[tuple[str, ...], Hashable]:
    match call:
        case ("append", append_id):
            said = (f"{append_id} asks", f"{append_id} answers")
            state = state if said[0] in state else state + said
            return state, len(state)
        case ("read",):
            return state, state
    raise AssertionError(call)


async def test_sessions_change_one_step_after_the_other(cores: Sequence[StateCore]) -> None:
    explain(await history(cores, ["s1", "s2"], draw_session, with_session), session, ())
