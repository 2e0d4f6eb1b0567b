"""A run enters its session, waits for its turn, keeps what it interrupted, and leaves."""

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from harness.fake_state import FakeRuns, FakeSessions, StoredRun
from harness.fakes import direct, fault
from unit.orchestrator.naps import Naps, patience
from unit.orchestrator.story import Story, asks, returns, says, simple, started

from pentad.state.v1 import session_service_pb2 as pb
from pentad.state.v1.event_pb2 import Event, RunCancelled
from pentad.state.v1.job_pb2 import Job
from pentad.state.v1.job_service_pb2 import ClaimedJob
from pentad.state.v1.message_pb2 import Message
from pentad.state.v1.run_pb2 import Run, RunStatus, SessionPolicy
from pentad_chassis.errors import FailedPrecondition, Unavailable
from pentad_orchestrator import outbox, outside, plan
from pentad_orchestrator.config import Config
from pentad_orchestrator.conversation import Conversation, History
from pentad_orchestrator.departures import Departures
from pentad_orchestrator.interrupted import Excerpt

OTHER = "07-other"


class BusySessions(FakeSessions):
    """A session that others are, or were, at."""

    def __init__(self, *answers: pb.EnterSessionResponse | Exception) -> None:
        super().__init__()
        self.answers = list(answers)

    async def EnterSession(
        self, request: pb.EnterSessionRequest, context: object
    ) -> pb.EnterSessionResponse:
        seen = await super().EnterSession(request, context)
        if not self.answers:
            return seen
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def conversation(sessions: FakeSessions, runs: FakeRuns | None = None) -> Conversation:
    return Conversation(direct(sessions), direct(runs or FakeRuns()), patience(Naps()), Config())


def story(session_seq: int | None = None) -> Story:
    """Return a run of the session `s` that is to begin, or began before."""
    told = Story(simple(session_id="s"))
    if session_seq is not None:
        told.add(started(1, session_seq=session_seq))
    return told


@pytest.mark.parametrize(
    ("began_at", "entered", "asked"),
    [(None, [0], []), (4, [], [4]), (0, [], [])],
    ids=["first owner", "later owner", "later owner of a run that began a session"],
)
async def test_every_owner_sees_the_history_the_first_one_saw(
    began_at: int | None, entered: list[int], asked: list[int]
) -> None:
    sessions = FakeSessions()
    sessions.messages["s"] = [Message(text=str(number)) for number in range(9)]

    history = await conversation(sessions).history(story(began_at).run)

    assert isinstance(history, History)
    assert [request.last_seq for request in sessions.entered] == entered
    assert [request.last_seq for request in sessions.windows] == asked
    assert len(history.messages) == (9 if began_at is None else began_at)


async def test_a_run_without_a_session_asks_nobody() -> None:
    sessions = FakeSessions()

    assert await conversation(sessions).history(Story().run) == History()
    assert not sessions.entered
    assert not sessions.windows


async def test_what_a_run_says_of_itself_when_it_enters() -> None:
    sessions = FakeSessions()
    made = simple(session_id="s")
    made.spec.session_policy = SessionPolicy.SESSION_POLICY_INTERRUPT

    await conversation(sessions).history(Story(made).run)

    (request,) = sessions.entered
    assert (request.tenant, request.session_id, request.run_id) == ("acme", "s", "07-run")
    assert request.policy == SessionPolicy.SESSION_POLICY_INTERRUPT


async def test_a_run_whose_turn_has_not_come_waits() -> None:
    told = story()
    now = told.events[0].time
    sessions = BusySessions(pb.EnterSessionResponse(active_run_id=OTHER, time=now))

    event = await conversation(sessions).history(told.run)

    assert isinstance(event, Event)
    waiting = event.run_waiting.waiting
    assert waiting.active_run_id == OTHER
    assert waiting.wake_time.seconds == now.seconds + 60
    told.add(event)
    assert plan.status(told.run).state == RunStatus.STATE_WAITING


def test_it_looks_again_later_and_later_and_its_wall_time_stands_still() -> None:
    told = story()
    left_s = told.run.deadline_s - told.run.now_s
    waits: list[float] = []
    now_s = int(told.run.now_s)
    for _ in range(12):
        event = outside.wait(told.run, OTHER, Timestamp(seconds=now_s))
        told.add(event)
        waits.append(event.run_waiting.waiting.wake_time.seconds - now_s)
        now_s += int(waits[-1])
        told.wait(int(waits[-1]))
    told.add(started(1))

    assert waits[0] == pytest.approx(60, abs=2)
    assert waits[-1] == pytest.approx(3600, abs=2)
    assert waits == sorted(waits)
    assert told.run.deadline_s - told.run.now_s == pytest.approx(left_s, abs=2)


async def test_a_full_line_ends_the_run() -> None:
    sessions = BusySessions(fault(FailedPrecondition, "SESSION_QUEUE_FULL"))
    told = story()

    event = await conversation(sessions).history(told.run)

    assert isinstance(event, Event)
    assert event.run_failed.failure.reason == "SESSION_QUEUE_FULL"


async def test_a_store_that_is_away_is_waited_for() -> None:
    sessions = BusySessions(fault(Unavailable, "STORE_UNAVAILABLE"))

    assert isinstance(await conversation(sessions).history(story().run), History)
    assert len(sessions.entered) == 2


def interrupted(runs: FakeRuns) -> None:
    """Have another run in the store that said something and was cancelled."""
    other = Story().start()
    other.record(says_and_asks(other))
    other.record(returns("0.1.0"))
    other.add(Event(run_cancelled=RunCancelled(reason="interrupted")))
    runs.runs[OTHER] = StoredRun(Run(run_id=OTHER), "other", b"", events=other.events)


def says_and_asks(told: Story) -> Event:
    event = asks(told.run, ["add"])
    event.turn_completed.message.text = "let me see"
    return event


async def test_what_an_interrupted_run_had_done_is_kept_before_the_next_begins() -> None:
    sessions = BusySessions(pb.EnterSessionResponse(interrupted_run_ids=[OTHER]))
    runs = FakeRuns()
    interrupted(runs)

    history = await conversation(sessions, runs).history(story().run)

    assert sessions.appended == {OTHER}
    assert sessions.left == []
    assert isinstance(history, History)
    said = [(message.role, message.text) for message in history.messages]
    assert said == [(Message.ROLE_USER, "add"), (Message.ROLE_ASSISTANT, "let me see")]


async def test_a_run_that_was_forgotten_keeps_nobody_out() -> None:
    sessions = BusySessions(pb.EnterSessionResponse(interrupted_run_ids=[OTHER]))
    runs = FakeRuns()
    runs.runs[OTHER] = StoredRun(Run(run_id=OTHER), "other", b"", events=[])

    assert isinstance(await conversation(sessions, runs).history(story().run), History)


def test_an_excerpt_is_what_fits_of_the_end() -> None:
    told = Story()
    excerpt = Excerpt()
    excerpt.read(told.start().events)
    for number in range(200):
        turn = says(told.run, f"{number}")
        turn.seq = 4 + number
        excerpt.read([turn])

    texts = [message.text for message in excerpt.messages()]

    assert texts == ["add", *map(str, range(101, 200))]
    excerpt.read([says(told.run, "x" * 400_000), says(told.run, "y" * 200_000)])
    assert [len(message.text) for message in excerpt.messages()] == [3, 200_000]


async def test_who_has_an_answer_leaves_with_it() -> None:
    sessions = FakeSessions()
    told = story(0)
    told.record()
    told.record(says(told.run, "42"))

    event = await conversation(sessions).save(told.run)

    assert event.run_completed.output == "42"
    assert sessions.left == ["07-run"]
    told.add(event)
    assert outbox.jobs_after(told.run, plan.status(told.run)) == []


async def test_who_has_none_leaves_by_a_job() -> None:
    sessions = FakeSessions()
    told = story(0)
    told.add(Event(run_cancelled=RunCancelled(reason="enough")))

    (job,) = outbox.jobs_after(told.run, plan.status(told.run))
    assert (job.place, job.leave_session.session_id) == ("07-run", "s")
    await Departures(direct(sessions)).leave(ClaimedJob(job=job))

    assert sessions.left == ["07-run"]


def test_a_run_that_goes_on_leaves_nothing() -> None:
    told = story(0)

    assert not [j for j in outbox.jobs_after(told.run, plan.status(told.run)) if isinstance(j, Job)]
