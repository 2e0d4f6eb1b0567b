"""Runs in the state service's core: what tests do with them again and again."""

import asyncio
import time
from collections.abc import Iterable
from itertools import count

from google.protobuf.duration_pb2 import Duration

from pentad.state.v1.event_pb2 import (
    ChildEnded,
    Event,
    RunCompleted,
    RunCreated,
    RunPaused,
    RunResumed,
    RunStarted,
    RunWaiting,
    TurnCompleted,
    TurnRestarted,
    TurnStarted,
)
from pentad.state.v1.message_pb2 import Message
from pentad.state.v1.run_pb2 import Pause, Run, RunSpec, RunStatus, UnknownEffect
from pentad.state.v1.run_service_pb2 import Claim, ClaimedRun, Lease, RunSignals, TextPiece
from pentad_state.appends import ALONE, Beside
from pentad_state.core import StateCore
from pentad_state.leases import Asked

TENANT = "acme"
SPEC = RunSpec(agent="echo", input="hello")
RUNNING = RunStatus(state=RunStatus.STATE_RUNNING)
COMPLETED = RunStatus(state=RunStatus.STATE_COMPLETED, output="done", turns=1)
ASKED_TO_PAUSE = Pause(reason="PAUSE_REQUESTED", message="somebody asked for it")
PAUSED = RunStatus(state=RunStatus.STATE_PAUSED, pause=ASKED_TO_PAUSE)
IN_DOUBT = Pause(
    reason="EFFECT_OUTCOME_UNKNOWN",
    unknown_effects=[UnknownEffect(call_id="run.1.0", tool="send")],
)
WAITING = RunStatus(state=RunStatus.STATE_WAITING)
PARKED = RunStatus(state=RunStatus.STATE_PAUSED, pause=IN_DOUBT)

STARTED = Event(run_started=RunStarted(owner="one", attempt=1))
TURN = Event(turn_started=TurnStarted(step="run", turn=1))
TURN_AGAIN = Event(turn_restarted=TurnRestarted(step="run", turn=1, attempt=2))
TURN_DONE = Event(turn_completed=TurnCompleted(step="run", turn=1, message=Message(text="hi")))
DONE = Event(run_completed=RunCompleted(output="done"))
RESTS = Event(run_paused=RunPaused(pause=ASKED_TO_PAUSE))
WAITS = Event(run_waiting=RunWaiting())
GOES_ON = Event(run_resumed=RunResumed(reason="go"))

NOTHING = Asked([], [], [])
"""No word for an owner."""

_append_ids = count()


def seconds(value: float) -> Duration:
    """Return a duration."""
    duration = Duration()
    duration.FromMicroseconds(int(value * 1_000_000))
    return duration


def by(owner: str, lease_s: float = 10.0) -> Claim:
    """Return an owner's wish for a lease."""
    return Claim(owner=owner, lease=seconds(lease_s))


async def create(
    core: StateCore, request_id: str = "r1", *, tenant: str = TENANT, spec: RunSpec = SPEC
) -> Run:
    """Put a run into the schedule."""
    created = RunCreated(tenant=tenant, spec=spec)
    run, _, _ = await core.runs.create(request_id, b"print", created, None)
    return run


async def claimed(core: StateCore, request_id: str = "r1", owner: str = "one") -> ClaimedRun:
    """Create a run that its creator holds."""
    created = RunCreated(tenant=TENANT, spec=SPEC)
    _, held, _ = await core.runs.create(request_id, b"print", created, by(owner))
    assert held is not None
    return held


async def append(
    core: StateCore,
    lease: Lease,
    seq: int,
    *events: Event,
    status: RunStatus = RUNNING,
    beside: Beside = ALONE,
) -> list[Event]:
    """Append events behind `seq`."""
    append_id = f"append-{next(_append_ids)}"
    return await core.appends.append(lease, seq, append_id, copies(events), status, beside)


def copies(events: Iterable[Event]) -> list[Event]:
    """Return the same events, for an append to change."""
    return [Event.FromString(event.SerializeToString()) for event in events]


async def waiting(core: StateCore, request_id: str = "r1", wake_s: float | None = None) -> str:
    """Create a run that waits for a signal, or for a time so far from now; return its id."""
    held = await claimed(core, request_id)
    await append(core, held.lease, 1, STARTED, WAITS, status=waiting_until(wake_s))
    return held.lease.run_id


def waiting_until(wake_s: float | None) -> RunStatus:
    """Return the status of a run that waits, perhaps only until so far from now."""
    status = RunStatus()
    status.CopyFrom(WAITING)
    if wake_s is not None:
        status.waiting.wake_time.FromMilliseconds(int((time.time() + wake_s) * 1000))
    return status


def word(number: int) -> Event:
    """Return something that a run can be told; each number is another."""
    return Event(child_ended=ChildEnded(key="call", index=number))


def numbers(signals: RunSignals) -> list[int]:
    """Return the numbers of what a run was told."""
    return [event.child_ended.index for event in signals.events]


async def say(core: StateCore, lease: Lease, turn_seq: int, offset: int, text: str) -> None:
    """Append a piece of text of the first turn."""
    await core.texts.append(
        [TextPiece(lease=lease, turn_seq=turn_seq, turn=1, offset=offset, text=text)]
    )


async def tail(core: StateCore, run_id: str, after: str = "") -> list[Event]:
    """Return a run's events behind a cursor, once it has ended."""
    async with asyncio.timeout(20):
        return [e async for batch in core.tails.tail(TENANT, run_id, after) for e in batch]
