"""Whoever comes and goes in whatever order: one is active, nobody is forgotten, turns are kept."""

from dataclasses import dataclass, field

import pytest
from harness.engines import SINGLE
from harness.machines import SETTINGS, CoreMachine
from harness.runs import TENANT
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule, run_state_machine_as_test

from pentad.state.v1.job_pb2 import Queue
from pentad.state.v1.message_pb2 import Message
from pentad.state.v1.run_pb2 import SessionPolicy
from pentad.state.v1.session_pb2 import SessionMessage
from pentad_state.partitions import partition_of, run_id_for
from pentad_state.slots import Standing

SESSION = "s"
IDS = [run_id_for(TENANT, f"r{number}") for number in range(5)]
RUNS = st.sampled_from(IDS)
ENQUEUE = SessionPolicy.SESSION_POLICY_ENQUEUE
INTERRUPT = SessionPolicy.SESSION_POLICY_INTERRUPT
ROLL_BACK = SessionPolicy.SESSION_POLICY_ROLL_BACK
WANT_WAY = (INTERRUPT, ROLL_BACK)


@dataclass
class Place:
    """What is true of a session's slot, said as plainly as possible."""

    active: str = ""
    fate: int = 0
    line: list[tuple[int, str]] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    cancelled: list[tuple[str, str]] = field(default_factory=list)

    def waits(self, run_id: str) -> bool:
        """Whether a run is in line."""
        return any(other == run_id for _, other in self.line)

    def line_up(self, policy: int, run_id: str) -> None:
        """Put a run behind those who go before it."""
        ahead = [entry for entry in self.line if policy not in WANT_WAY or entry[0] in WANT_WAY]
        self.line.insert(len(ahead), (policy, run_id))

    def clear(self) -> None:
        """Have the active run give way to the first in line."""
        if self.active and self.line and self.line[0][0] in WANT_WAY and not self.fate:
            self.fate = self.line[0][0]
            self.cancelled.append((self.active, self.line[0][1]))

    def go(self, run_id: str, *, answered: bool) -> None:
        """Take a run out, and let the next one in."""
        if run_id != self.active:
            self.line = [entry for entry in self.line if entry[1] != run_id]
            return
        if self.fate == INTERRUPT and not answered:
            self.kept.append(run_id)
        self.active, self.fate = "", 0
        if self.line:
            _, self.active = self.line.pop(0)
            self.told.append(self.active)
            self.clear()


class SlotMachine(CoreMachine):
    """One session, and runs that enter it and leave it, some more than once."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.place = Place()
        self.said: list[str] = []
        self.appended: set[str] = set()

    @rule(run_id=RUNS, policy=st.sampled_from([ENQUEUE, INTERRUPT, ROLL_BACK]))
    def enter(self, run_id: str, policy: SessionPolicy.ValueType) -> None:
        standing = self.run(self.core.slots.enter(TENANT, SESSION, run_id, policy))
        place = self.place
        if place.active in {"", run_id}:
            place.active = run_id
            assert standing.active_run_id == ""
            assert list(standing.interrupted) == place.kept
            if place.line and place.line[0][0] in WANT_WAY:
                place.cancelled.append((run_id, place.line[0][1]))
            return
        assert standing == Standing(0, place.active)
        if not place.waits(run_id):
            place.line_up(policy, run_id)
            place.clear()

    @rule()
    def look(self) -> None:
        """The active run asks again."""
        if self.place.active:
            self.enter(self.place.active, ENQUEUE)

    @rule()
    def give_way(self) -> None:
        """The active run ends without an answer."""
        if self.place.active:
            self.leave(self.place.active)

    @rule(run_id=RUNS)
    def leave(self, run_id: str) -> None:
        self.run(self.core.slots.leave(TENANT, SESSION, run_id))
        self.place.go(run_id, answered=False)

    @rule(run_id=RUNS, again=st.booleans())
    def answer(self, run_id: str, again: bool) -> None:
        """A run appends its answer and leaves, as only the active one does."""
        if run_id != self.place.active:
            return
        for _ in range(1 + again):
            self.append(run_id, leaves=run_id)
        if run_id not in self.appended and self.place.fate != ROLL_BACK:
            self.said.append(run_id)
        self.appended.add(run_id)
        self.place.kept = [kept for kept in self.place.kept if kept != run_id]
        self.place.go(run_id, answered=True)

    @rule()
    def keep(self) -> None:
        """The active run appends what the first of those before it had done."""
        if self.place.active and self.place.kept:
            kept = self.place.kept[0]
            self.place.kept = [each for each in self.place.kept if each != kept]
            self.append(kept, leaves="")
            if kept not in self.appended:
                self.said.append(kept)
            self.appended.add(kept)

    def append(self, run_id: str, *, leaves: str) -> None:
        message = SessionMessage(run_id=run_id, message=Message(text=run_id))
        step = self.core.sessions.append(TENANT, SESSION, run_id, [message], None, leaves=leaves)
        self.run(step)

    @invariant()
    def holds(self) -> None:
        """Exactly those are told and cancelled who are to be, and exactly that is said."""
        place = self.place
        told, cancelled = set(place.told), set(place.cancelled)
        place.told, place.cancelled = [], []
        taken = self.run(
            self.core.jobs.claim(partition_of(TENANT, SESSION), Queue.QUEUE_RUNS, 60_000, 100)
        )
        found: set[tuple[str, str]] = set()
        heard: set[str] = set()
        for each in taken.jobs:
            self.run(self.core.jobs.complete(each.job.place, each.job.job_id, each.fence))
            if each.job.HasField("signal_run"):
                heard.add(each.job.signal_run.run_id)
            else:
                by = each.job.cancel_run.reason.removeprefix("interrupted by run ")
                found.add((each.job.cancel_run.run_id, by))
        assert heard == told
        assert found == cancelled
        messages, _ = self.run(self.core.sessions.window(TENANT, SESSION, 0, 1000, 0))
        assert [message.text for message in messages] == self.said


@pytest.mark.parametrize("engine", SINGLE, indirect=True)
def test_a_slot_does_what_its_model_does(engine: str) -> None:
    run_state_machine_as_test(lambda: SlotMachine(engine), settings=SETTINGS)  # type: ignore[arg-type] # a factory will do
