"""Runs do what a simple model of them does, whatever the order of steps."""

import time

import pytest
from harness.engines import SINGLE
from harness.machines import LONG_S, SETTINGS, SHORT_S, CoreMachine
from harness.model_run import ASKED, ENDED, HELD, QUEUED, RESTING, WAITING, Appended, ModelRun
from harness.runs import (
    COMPLETED,
    DONE,
    GOES_ON,
    NOTHING,
    PARKED,
    PAUSED,
    RESTS,
    RUNNING,
    STARTED,
    TENANT,
    TURN,
    TURN_DONE,
    WAITS,
    by,
    copies,
    numbers,
    tail,
    waiting_until,
    word,
)
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule, run_state_machine_as_test

from pentad.state.v1.event_pb2 import RunCreated, RunResumed
from pentad.state.v1.run_pb2 import RunSpec, RunStatus, Settlement
from pentad.state.v1.run_service_pb2 import ClaimedRun, Lease, TextPiece
from pentad_chassis.errors import InvalidArgument
from pentad_state.appends import Beside
from pentad_state.errors import (
    RequestIdReused,
    RunNotPaused,
    SeqConflict,
    SettlementMissing,
    StaleFence,
)

REQUESTS = st.sampled_from(["r1", "r1", "r2"])
PRINTS = st.sampled_from([b"a", b"b"])
OWNERS = st.sampled_from(["one", "two"])
LEASES = st.sampled_from([SHORT_S, LONG_S])
SETTLED = Settlement(call_id="run.1.0", not_done=True)
TEXTS = st.sampled_from(["a", "ö", "🙂🙂"])
REASONS = st.sampled_from(["", "why", "ünd"])
DELAYS = st.sampled_from([None, None, None, SHORT_S, LONG_S])
STATUSES = st.sampled_from([RUNNING, PAUSED, PAUSED, PAUSED, PARKED, COMPLETED])
STALE = st.sampled_from([0, 0, 0, 0, 1, 2])
"""How old a fence is; mostly it is the right one, or nothing would ever come of a run."""
ASTRAY = st.sampled_from([0, 0, 0, 0, -1, 1])  # how far off an expected place is


class RunMachine(CoreMachine):
    """Does with runs all that can be done, with good and with bad arguments."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.model: dict[str, ModelRun] = {}
        self.count = 0

    @rule(
        request=REQUESTS,
        fingerprint=PRINTS,
        lease_s=st.none() | LEASES,
        priority=st.sampled_from([0, 0, 10, -10]),
        delay_s=DELAYS,
        begins=st.booleans(),
    )
    def create(
        self,
        request: str,
        fingerprint: bytes,
        lease_s: float | None,
        priority: int,
        delay_s: float | None,
        *,
        begins: bool,
    ) -> None:
        spec = RunSpec(agent="echo", input=request, priority=priority)
        if delay_s == LONG_S or (delay_s and not lease_s):  # a short one may be over already
            spec.start_time.FromMilliseconds(int((time.time() + delay_s) * 1000))
        made = RunCreated(tenant=TENANT, spec=spec)
        claim = None if lease_s is None else by("creator", lease_s)
        known = self.model.get(request)
        begun = copies([STARTED, TURN]) if begins and claim is not None else []
        step = self.core.runs.create(request, fingerprint, made, claim, begun, RUNNING)
        if known is not None and known.fingerprint != fingerprint:
            with pytest.raises(RequestIdReused):
                self.run(step)
            return
        run, held, created = self.run(step)
        assert created == (known is None)
        delayed = delay_s == LONG_S
        assert (held is not None) == (created and claim is not None and not delayed)
        if known is None:
            level = 11 - priority
            known = ModelRun(run.run_id, fingerprint, level, delayed, rank=(level, 1))
            self.model[request] = known
            if held is not None and lease_s is not None:
                known.take("creator", lease_s)
                known.kinds += [kind for e in begun if (kind := e.WhichOneof("kind"))]
                self.check_claim(known, held)
        assert run.run_id == known.run_id
        self.expire()

    @precondition(lambda self: self.model)
    @rule(owner=OWNERS, limit=st.integers(1, 3), lease_s=LEASES)
    def claim(self, owner: str, limit: int, lease_s: float) -> None:
        self.core.schedule.missed()  # have it look everywhere now
        claimable = {run.run_id: run for run in self.model.values() if run.claimable}
        expired = sum(run.state == HELD for run in claimable.values())
        ranks = sorted(run.rank for run in claimable.values() if run.state != HELD)

        claimed, _ = self.run(self.core.schedule.poll(by(owner, lease_s), limit, 0))

        taken = [claimable[held.lease.run_id] for held in claimed]
        assert len({run.run_id for run in taken}) == len(taken) == min(limit, len(claimable))
        waited = [run.rank for run in taken if run.state != HELD]
        assert len(waited) == len(taken) - min(limit, expired)
        assert waited == ranks[: len(waited)]
        for run, held in zip(taken, claimed, strict=True):
            run.take(owner, lease_s)
            self.check_claim(run, held)
        self.expire()

    @precondition(lambda self: self.model)
    @rule(data=st.data(), back=STALE, off=ASTRAY, status=STATUSES)
    def append(self, data: st.DataObject, back: int, off: int, status: RunStatus) -> None:
        run = self.pick(data)
        events = [TURN, TURN_DONE][: data.draw(st.integers(1, 2))]
        events += [GOES_ON] if run.resumed is not None and data.draw(st.booleans()) else []
        events += {ENDED: [DONE], RESTING: [RESTS]}.get(status.state, [])
        lease = Lease(run_id=run.run_id, fence=run.fence - back)
        seq = max(len(run.kinds) + off, 1)
        self.count += 1
        append_id = f"a{self.count}"
        step = self.core.appends.append(lease, seq, append_id, copies(events), status)
        if run.state != HELD or back:
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
            if GOES_ON in events:
                run.resumed = None
            if status.state == RESTING:
                run.rest(parked=status == PARKED)
            else:
                run.state = status.state

    @precondition(lambda self: self.obedient())
    @rule(data=st.data(), parked=st.booleans())
    def obey(self, data: st.DataObject, *, parked: bool) -> None:
        """An owner journals that a run goes on, and lets it rest as it was asked to."""
        run = data.draw(st.sampled_from(self.obedient()))
        rests = run.pause is not None or run.withdrawn is not None
        events = [GOES_ON] * (run.resumed is not None) + [RESTS] * rests
        status = (PARKED if parked else PAUSED) if rests else RUNNING
        self.count += 1
        step = self.core.appends.append(
            run.lease, len(run.kinds), f"a{self.count}", copies(events), status
        )
        self.run(step)
        run.kinds += [str(e.WhichOneof("kind")) for e in events]
        run.resumed = None
        if rests:
            run.rest(parked=parked)

    @precondition(lambda self: any(run.state == HELD for run in self.model.values()))
    @rule(
        data=st.data(),
        heard=st.integers(0, 3),
        wake_s=st.sampled_from([None, SHORT_S, LONG_S]),
    )
    def wait(self, data: st.DataObject, heard: int, wake_s: float | None) -> None:
        """An owner journals what it heard, and lets the run wait."""
        run = data.draw(st.sampled_from([r for r in self.model.values() if r.state == HELD]))
        self.count += 1
        step = self.core.appends.append(
            run.lease,
            len(run.kinds),
            f"a{self.count}",
            copies([WAITS]),
            waiting_until(wake_s),
            Beside(heard=heard),
        )
        self.run(step)
        run.kinds.append("run_waiting")
        run.hear(heard)
        run.wait(wakes=wake_s == SHORT_S)
        self.expire()

    @precondition(lambda self: self.model)
    @rule(data=st.data(), number=st.integers(0, 4))
    def tell(self, data: st.DataObject, number: int) -> None:
        run = self.pick(data)
        signal_id = f"s{number}"

        ended = self.run(self.core.wishes.signal(TENANT, run.run_id, signal_id, word(number)))

        assert ended == (run.state == ENDED)
        if ended or signal_id in run.told_ids:
            return
        run.told.append(number)
        run.told_ids.add(signal_id)
        if run.state == WAITING:
            run.state, run.rank = QUEUED, (run.level, 0)

    @precondition(lambda self: any(run.appends for run in self.model.values()))
    @rule(data=st.data())
    def repeat_append(self, data: st.DataObject) -> None:
        done = data.draw(st.sampled_from([a for run in self.model.values() for a in run.appends]))

        again = self.run(
            self.core.appends.append(
                done.lease,
                done.seq,
                done.append_id,
                copies(done.events),
                RUNNING,
            )
        )

        assert again == done.events

    @precondition(lambda self: self.model)
    @rule(data=st.data(), back=STALE, lease_s=LEASES)
    def renew(self, data: st.DataObject, back: int, lease_s: float) -> None:
        run = self.pick(data)
        lease = Lease(run_id=run.run_id, fence=run.fence - back)

        lost, asked, _ = self.run(self.core.leases.renew(by("any", lease_s), [lease]))

        if run.state == HELD and not back:
            assert lost == []
            assert [c.reason for c in asked.cancels] == ([] if run.cancel is None else [run.cancel])
            assert [p.reason for p in asked.pauses] == ([] if run.pause is None else [run.pause])
            assert [numbers(s) for s in asked.signals] == ([run.unheard] if run.unheard else [])
            run.expired = lease_s == SHORT_S
        else:
            assert (lost, asked) == ([run.run_id], NOTHING)
        self.expire()

    @precondition(lambda self: self.model)
    @rule(data=st.data(), back=STALE)
    def release(self, data: st.DataObject, back: int) -> None:
        run = self.pick(data)

        self.run(self.core.leases.release([Lease(run_id=run.run_id, fence=run.fence - back)]))

        if run.state == HELD and not back:
            run.state, run.expired = QUEUED, False
            asked = (run.cancel, run.pause) != (None, None)
            run.rank = ASKED if asked else (run.level, 0)

    @precondition(lambda self: self.model)
    @rule(data=st.data(), reason=REASONS, pause=st.sampled_from([True, True, True, False]))
    def ask(self, data: st.DataObject, reason: str, *, pause: bool) -> None:
        """Pauses for the most part: a run that is cancelled does not do much any more."""
        run = self.pick(data)
        if pause:
            self.pause(run, reason)
        else:
            self.cancel(run, reason)

    def pause(self, run: ModelRun, reason: str) -> None:
        self.run(self.core.wishes.request_pause(TENANT, run.run_id, reason))

        if run.state in {QUEUED, HELD, WAITING}:
            run.pause = reason if run.pause is None else run.pause
            run.withdrawn = None
        if run.state in {QUEUED, WAITING}:
            run.state, run.rank = QUEUED, ASKED

    def cancel(self, run: ModelRun, reason: str) -> None:
        self.run(self.core.wishes.request_cancel(TENANT, run.run_id, reason))

        if run.state != ENDED and run.cancel is None:
            run.cancel = reason
        if run.state in {QUEUED, RESTING, WAITING}:
            run.state, run.rank = QUEUED, ASKED

    @precondition(lambda self: self.model)
    @rule(data=st.data(), resume_id=st.sampled_from(["1", "2", "3", "4"]), reason=REASONS)
    def resume(self, data: st.DataObject, resume_id: str, reason: str) -> None:
        run = self.pick(data)
        told = data.draw(st.sampled_from([run.asks, run.asks, not run.asks]))
        resumed = RunResumed(reason=reason, settlements=[SETTLED] * told)
        step = self.core.wishes.resume(TENANT, run.run_id, resume_id, resumed)
        if resume_id in run.resumes:
            self.run(step)
            return
        if run.state != RESTING and (run.state == ENDED or run.pause is None):
            with pytest.raises(RunNotPaused):
                self.run(step)
            return
        if run.state == RESTING and told != run.asks:
            with pytest.raises(SettlementMissing if run.asks else InvalidArgument):
                self.run(step)
            return
        self.run(step)
        run.resumes.add(resume_id)
        if run.state == HELD:
            run.withdrawn = reason
        elif run.cancel is None:
            run.rank = (run.level, 1)
        if run.state == RESTING:
            run.state, run.resumed = QUEUED, reason
        run.pause = None

    @precondition(lambda self: self.model)
    @rule(data=st.data(), text=TEXTS, back=STALE, off=st.integers(0, 1))
    def say(self, data: st.DataObject, text: str, back: int, off: int) -> None:
        run = self.pick(data)
        seq = len(run.kinds)
        before = run.texts.get(seq, "")
        lease = Lease(run_id=run.run_id, fence=run.fence - back)
        offset = len(before.encode()) + off
        piece = TextPiece(lease=lease, turn_seq=seq, turn=1, offset=offset, text=text)

        self.run(self.core.texts.append([piece]))

        if run.state == HELD and not back and not off:
            run.texts[seq] = before + text

    @precondition(lambda self: any(run.state == ENDED for run in self.model.values()))
    @rule(data=st.data())
    def read_to_the_end(self, data: st.DataObject) -> None:
        ended = [run for run in self.model.values() if run.state == ENDED]
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
            assert stored.status.state in run.states
            assert stored.last_seq == len(run.kinds)
            assert stored.cancel_requested == (run.cancel is not None and run.state != ENDED)
            assert stored.pause_requested == (run.pause is not None and run.state != ENDED)
            assert stored.status.HasField("pause") == (run.state == RESTING)
            assert not (stored.status.HasField("waiting") and run.state != WAITING)

    def pick(self, data: st.DataObject) -> ModelRun:
        return self.model[data.draw(st.sampled_from(sorted(self.model)))]

    def obedient(self) -> list[ModelRun]:
        """Runs whose owners have something to journal."""
        return [
            run
            for run in self.model.values()
            if run.state == HELD and (run.pause, run.withdrawn, run.resumed) != (None, None, None)
        ]

    def check_claim(self, run: ModelRun, held: ClaimedRun) -> None:
        assert held.lease == run.lease
        assert held.last_seq == len(run.kinds)
        assert [e.WhichOneof("kind") for e in held.events] == run.kinds
        assert [e.seq for e in held.events] == list(range(1, len(run.kinds) + 1))
        assert held.cancel_requested == (run.cancel is not None)
        assert held.cancel_reason == (run.cancel or "")
        assert held.pause_requested == (run.pause is not None)
        assert held.pause_reason == (run.pause or "")
        assert held.HasField("resumed") == (run.resumed is not None)
        assert held.resumed.reason == (run.resumed or "")
        assert held.owner_lost == run.lost
        assert numbers(held.signals) == run.unheard
        assert held.signals.first == (run.heard + 1 if run.unheard else 0)


@pytest.mark.parametrize("engine", SINGLE, indirect=True)
def test_runs_follow_the_model(engine: str) -> None:
    machine = lambda: RunMachine(engine)  # noqa: E731 - a factory will do
    more = settings(SETTINGS, max_examples=60)
    run_state_machine_as_test(machine, settings=more)  # type: ignore[arg-type]
