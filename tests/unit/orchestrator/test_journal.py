"""Appends: once each, in order, and none without the right to."""

import pytest
from harness.fake_state import FakeRuns
from harness.fakes import direct, fault
from unit.orchestrator.naps import Naps, patience
from unit.orchestrator.story import simple

from pentad.state.v1.event_pb2 import DeadlineReached, Event
from pentad.state.v1.run_pb2 import RunStatus
from pentad.state.v1.run_service_pb2 import AppendEventsRequest, AppendEventsResponse, Lease
from pentad_chassis.clock import FakeClock
from pentad_chassis.errors import DeadlineExceeded, InvalidArgument, ServiceError, Unavailable
from pentad_orchestrator.journal import Journal, LeaseLost

EVENT = Event(deadline_reached=DeadlineReached())
STATUS = RunStatus(state=RunStatus.STATE_RUNNING)
LEASE_S = 6.0


def journal_of(runs: FakeRuns, fence: int = 0) -> Journal:
    runs.seed("07-a", Event(run_created=simple()))
    lease = Lease(run_id="07-a", fence=fence)
    return Journal(direct(runs), lease, 1, patience(), FakeClock(), LEASE_S)


async def test_events_come_back_as_recorded_and_time_is_the_stores() -> None:
    runs = FakeRuns()
    journal = journal_of(runs)
    (recorded,) = await journal.append([EVENT], STATUS)

    assert recorded.seq == 2
    assert journal.now() == recorded.time.seconds + recorded.time.nanos / 1e9


async def test_an_answer_that_is_lost_is_asked_for_again_under_the_same_id() -> None:
    runs = FakeRuns()
    journal = journal_of(runs)
    runs.lost_answers = 3
    await journal.append([EVENT], STATUS)
    await journal.append([EVENT], STATUS)

    assert len(runs.only.events) == 3
    assert len(runs.only.appends) == 2


async def test_an_append_that_is_not_answered_leaves_time_for_others_within_the_lease() -> None:
    class Timed:
        def __init__(self) -> None:
            self.seconds: list[float] = []

        async def AppendEvents(
            self, request: AppendEventsRequest, *, timeout: float
        ) -> AppendEventsResponse:
            self.seconds.append(timeout)
            if len(self.seconds) < 3:
                raise fault(DeadlineExceeded, "DEADLINE_EXCEEDED")
            return AppendEventsResponse(events=request.events)

    runs = Timed()
    lease = Lease(fence=1)
    journal = Journal(runs, lease, 1, patience(), FakeClock(), LEASE_S)  # type: ignore[arg-type]
    await journal.append([EVENT], STATUS)

    assert sum(runs.seconds) <= LEASE_S


async def test_nothing_is_appended_with_a_stale_fence_nor_ever_after() -> None:
    runs = FakeRuns()
    journal = journal_of(runs)
    runs.take_away("07-a")
    with pytest.raises(LeaseLost, match="STALE_FENCE"):
        await journal.append([EVENT], STATUS)

    runs.only.fence = 0
    with pytest.raises(LeaseLost):
        await journal.append([EVENT], STATUS)
    assert journal.lost
    assert len(runs.only.events) == 1


async def test_a_lease_given_up_stops_an_append_between_two_tries() -> None:
    runs = FakeRuns()
    journal = journal_of(runs)
    runs.away = True

    class GivingUp(Naps):
        async def __call__(self, seconds: float) -> None:
            journal.revoke("NOT_RENEWED")
            runs.away = False

    journal._patience = patience(GivingUp())
    with pytest.raises(LeaseLost, match="NOT_RENEWED"):
        await journal.append([EVENT], STATUS)
    assert len(runs.only.events) == 1


async def test_a_journal_that_grew_since_the_claim_is_another_owners() -> None:
    """Who slept between claim and reading finds what was written since, perhaps the run's end."""
    runs = FakeRuns()
    runs.seed("07-a", Event(run_created=simple()), *[EVENT] * 4)
    journal = Journal(direct(runs), Lease(run_id="07-a"), 4, patience(), FakeClock(), LEASE_S)

    with pytest.raises(LeaseLost, match="SEQ_CONFLICT"):
        await journal.read(runs.only.events[:3])
    assert journal.lost


async def test_an_append_after_one_that_failed_has_an_id_of_its_own() -> None:
    """The first may have taken place; its answer must not be taken for the second's."""

    class Refusing:
        def __init__(self) -> None:
            self.ids: list[str] = []

        async def AppendEvents(
            self, request: AppendEventsRequest, **_: float
        ) -> AppendEventsResponse:
            self.ids.append(request.append_id)
            raise fault(InvalidArgument, "PAYLOAD_TOO_LARGE")

    runs = Refusing()
    journal = Journal(runs, Lease(fence=4), 1, patience(), FakeClock(), LEASE_S)  # type: ignore[arg-type]
    for _ in range(2):
        with pytest.raises(InvalidArgument):
            await journal.append([EVENT], STATUS)

    assert runs.ids == ["4.1", "4.2"]


async def test_pauses_double_up_to_a_bound_and_obey_the_peer() -> None:
    naps = Naps()
    asked = fault(Unavailable, "CIRCUIT_OPEN")
    asked.retry_after_s = 30.0
    errors: list[ServiceError] = [*(fault(Unavailable, "UNAVAILABLE") for _ in range(9)), asked]

    async def call() -> str:
        if errors:
            raise errors.pop(0)
        return "there"

    assert await patience(naps).until_answered(call, what="call") == "there"
    assert naps.taken == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0, 30.0]


async def test_what_no_repeat_would_mend_is_raised_at_once() -> None:
    naps = Naps()

    async def call() -> None:
        raise fault(InvalidArgument, "NO")

    with pytest.raises(InvalidArgument):
        await patience(naps).until_answered(call, what="call")
    assert naps.taken == []
