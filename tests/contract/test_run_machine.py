"""Runs do what a simple model of them does, whatever the order of steps."""

from dataclasses import dataclass, field

import pytest
from harness.engines import SINGLE
from harness.machines import LONG_S, SETTINGS, SHORT_S, CoreMachine
from harness.runs import DONE, TENANT, TURN, TURN_DONE, by, tail
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule, run_state_machine_as_test

from pentad.state.v1.event_pb2 import Event, RunCreated
from pentad.state.v1.run_pb2 import RunSpec, RunStatus
from pentad.state.v1.run_service_pb2 import ClaimedRun, Lease, TextPiece
from pentad_state.errors import RequestIdReused, SeqConflict, StaleFence

QUEUED, RUNNING = RunStatus.STATE_QUEUED, RunStatus.STATE_RUNNING
COMPLETED = RunStatus.STATE_COMPLETED

REQUESTS = st.sampled_from(["r1", "r2", "r3", "r4"])
PRINTS = st.sampled_from([b"a", b"b"])
OWNERS = st.sampled_from(["one", "two"])
LEASES = st.sampled_from([SHORT_S, LONG_S])
TEXTS = st.sampled_from(["a", "ö", "🙂🙂"])


@dataclass
class Appended:
    """An append that was accepted, for repeating it."""

    seq: int
    append_id: str
    events: list[Event]
    lease: Lease


@dataclass
class ModelRun:
    """What a run should be."""

    run_id: str
    fingerprint: bytes
    kinds: list[str] = field(default_factory=lambda: ["run_created"])
    texts: dict[int, str] = field(default_factory=dict)
    state: RunStatus.State.ValueType = QUEUED
    fence: int = 0
    expired: bool = False
    cancel: str | None = None
    appends: list[Appended] = field(default_factory=list)

    @property
    def claimable(self) -> bool:
        return self.state == QUEUED or (self.state == RUNNING and self.expired)

    @property
    def lease(self) -> Lease:
        return Lease(run_id=self.run_id, fence=self.fence)

    def take(self, lease_s: float) -> None:
        self.state, self.fence, self.expired = RUNNING, self.fence + 1, lease_s == SHORT_S


class RunMachine(CoreMachine):
    """Creates, claims, appends, renews, releases and cancels, with good and with bad arguments."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.model: dict[str, ModelRun] = {}
        self.count = 0

    @rule(request=REQUESTS, fingerprint=PRINTS, lease_s=st.none() | LEASES)
    def create(self, request: str, fingerprint: bytes, lease_s: float | None) -> None:
        made = RunCreated(tenant=TENANT, spec=RunSpec(agent="echo", input=request))
        claim = None if lease_s is None else by("creator", lease_s)
        known = self.model.get(request)
        step = self.core.runs.create(request, fingerprint, made, claim)
        if known is not None and known.fingerprint != fingerprint:
            with pytest.raises(RequestIdReused):
                self.run(step)
            return
        run, held, created = self.run(step)
        assert created == (known is None)
        assert (held is not None) == (created and claim is not None)
        if known is None:
            self.model[request] = known = ModelRun(run.run_id, fingerprint)
            if held is not None and lease_s is not None:
                known.take(lease_s)
                self.check_claim(known, held)
        assert run.run_id == known.run_id
        self.expire()

    @rule(owner=OWNERS, limit=st.integers(1, 3), lease_s=LEASES)
    def claim(self, owner: str, limit: int, lease_s: float) -> None:
        self.core.schedule.missed()  # have it look everywhere now
        claimable = {run.run_id: run for run in self.model.values() if run.claimable}
        expired = sum(run.expired for run in claimable.values())

        claimed, _ = self.run(self.core.schedule.poll(by(owner, lease_s), limit, 0))

        taken = [claimable[held.lease.run_id] for held in claimed]
        assert len({run.run_id for run in taken}) == len(taken) == min(limit, len(claimable))
        assert sum(run.expired for run in taken) == min(limit, expired)
        for run, held in zip(taken, claimed, strict=True):
            run.take(lease_s)
            self.check_claim(run, held)
        self.expire()

    @precondition(lambda self: self.model)
    @rule(data=st.data(), back=st.integers(0, 2), off=st.integers(-1, 1), end=st.booleans())
    def append(self, data: st.DataObject, back: int, off: int, *, end: bool) -> None:
        run = self.pick(data)
        events = [TURN, TURN_DONE][: data.draw(st.integers(1, 2))] + ([DONE] if end else [])
        lease = Lease(run_id=run.run_id, fence=run.fence - back)
        seq = max(len(run.kinds) + off, 1)
        status = RunStatus(state=COMPLETED if end else RUNNING)
        self.count += 1
        append_id = f"a{self.count}"
        step = self.core.runs.append(lease, seq, append_id, copies(events), status)
        if run.state != RUNNING or back:
            with pytest.raises(StaleFence):
                self.run(step)
        elif seq != len(run.kinds):
            with pytest.raises(SeqConflict):
                self.run(step)
        else:
            recorded = self.run(step)
            assert [e.seq for e in recorded] == [seq + i for i in range(1, len(events) + 1)]
            run.kinds += [str(e.WhichOneof("kind")) for e in events]
            run.appends.append(Appended(seq, append_id, recorded, lease))
            run.state = COMPLETED if end else RUNNING

    @precondition(lambda self: any(run.appends for run in self.model.values()))
    @rule(data=st.data())
    def repeat_append(self, data: st.DataObject) -> None:
        done = data.draw(st.sampled_from([a for run in self.model.values() for a in run.appends]))

        again = self.run(
            self.core.runs.append(
                done.lease,
                done.seq,
                done.append_id,
                copies(done.events),
                RunStatus(state=RUNNING),
            )
        )

        assert again == done.events

    @precondition(lambda self: self.model)
    @rule(data=st.data(), back=st.integers(0, 1), lease_s=LEASES)
    def renew(self, data: st.DataObject, back: int, lease_s: float) -> None:
        run = self.pick(data)
        lease = Lease(run_id=run.run_id, fence=run.fence - back)

        lost, cancels = self.run(self.core.leases.renew(by("any", lease_s), [lease]))

        if run.state == RUNNING and not back:
            assert lost == []
            assert [c.reason for c in cancels] == ([] if run.cancel is None else [run.cancel])
            run.expired = lease_s == SHORT_S
        else:
            assert (lost, cancels) == ([run.run_id], [])
        self.expire()

    @precondition(lambda self: self.model)
    @rule(data=st.data(), back=st.integers(0, 1))
    def release(self, data: st.DataObject, back: int) -> None:
        run = self.pick(data)

        self.run(self.core.leases.release([Lease(run_id=run.run_id, fence=run.fence - back)]))

        if run.state == RUNNING and not back:
            run.state, run.expired = QUEUED, False

    @precondition(lambda self: self.model)
    @rule(data=st.data(), reason=st.sampled_from(["", "why", "ünd"]))
    def cancel(self, data: st.DataObject, reason: str) -> None:
        run = self.pick(data)

        self.run(self.core.runs.request_cancel(TENANT, run.run_id, reason))

        if run.state != COMPLETED and run.cancel is None:
            run.cancel = reason

    @precondition(lambda self: self.model)
    @rule(data=st.data(), text=TEXTS, back=st.integers(0, 1), off=st.integers(0, 1))
    def say(self, data: st.DataObject, text: str, back: int, off: int) -> None:
        run = self.pick(data)
        seq = len(run.kinds)
        before = run.texts.get(seq, "")
        lease = Lease(run_id=run.run_id, fence=run.fence - back)
        offset = len(before.encode()) + off
        piece = TextPiece(lease=lease, turn_seq=seq, turn=1, offset=offset, text=text)

        self.run(self.core.runs.append_text([piece]))

        if run.state == RUNNING and not back and not off:
            run.texts[seq] = before + text

    @precondition(lambda self: any(run.state == COMPLETED for run in self.model.values()))
    @rule(data=st.data())
    def read_to_the_end(self, data: st.DataObject) -> None:
        ended = [run for run in self.model.values() if run.state == COMPLETED]
        run = data.draw(st.sampled_from(ended))

        events = self.run(tail(self.core, run.run_id))

        expected: list[tuple[str, str]] = []
        for seq, kind in enumerate(run.kinds, 1):
            expected.append((kind, ""))
            if kind == "turn_started" and seq in run.texts:
                expected.append(("text_delta", run.texts[seq]))
        assert [(e.WhichOneof("kind"), e.text_delta.text) for e in events] == expected
        at = data.draw(st.integers(0, len(events) - 1))
        rest = self.run(tail(self.core, run.run_id, events[at].cursor))
        assert [e.cursor for e in rest] == [e.cursor for e in events[at + 1 :]]

    @invariant()
    def every_run_is_as_modelled(self) -> None:
        for run in self.model.values():
            stored, fingerprint = self.run(self.core.runs.get(TENANT, run.run_id))
            assert fingerprint == run.fingerprint
            assert stored.status.state == run.state
            assert stored.last_seq == len(run.kinds)
            wanted = run.cancel is not None and run.state != COMPLETED
            assert stored.cancel_requested == wanted

    def pick(self, data: st.DataObject) -> ModelRun:
        return self.model[data.draw(st.sampled_from(sorted(self.model)))]

    def check_claim(self, run: ModelRun, held: ClaimedRun) -> None:
        assert held.lease == run.lease
        assert held.last_seq == len(run.kinds)
        assert [e.WhichOneof("kind") for e in held.events] == run.kinds
        assert [e.seq for e in held.events] == list(range(1, len(run.kinds) + 1))
        assert held.cancel_requested == (run.cancel is not None)
        assert held.cancel_reason == (run.cancel or "")


def copies(events: list[Event]) -> list[Event]:
    return [Event.FromString(event.SerializeToString()) for event in events]


@pytest.mark.parametrize("engine", SINGLE, indirect=True)
def test_runs_follow_the_model(engine: str) -> None:
    run_state_machine_as_test(lambda: RunMachine(engine), settings=SETTINGS)  # type: ignore[arg-type] # a factory will do
