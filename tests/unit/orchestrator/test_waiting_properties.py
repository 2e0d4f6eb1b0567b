"""Whatever people, times and other runs do, and wherever owners die or let go: promises hold."""

from collections import Counter
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from unit.orchestrator.waiting_worlds import Course, WaitingWorld, play, requests, waiting_worlds
from unit.orchestrator.worlds import LIMITS, ending

from pentad.state.v1.approval_pb2 import Approval
from pentad_orchestrator import approvals, plan
from pentad_orchestrator.run import Calling

thorough = settings(max_examples=80, deadline=None)
places = st.frozensets(st.integers(0, 60), max_size=20)
courses = st.builds(Course, places, places)
wild_courses = st.builds(
    Course,
    places,
    places,
    st.randoms(use_true_random=False),
    st.none() | st.integers(0, 20),
)


@thorough
@given(waiting_worlds, courses)
def test_crashes_and_letting_go_change_nothing_about_the_end(
    world: WaitingWorld, course: Course
) -> None:
    assert ending(play(world, course).story) == ending(play(world, Course()).story)


@thorough
@given(waiting_worlds, wild_courses)
def test_no_tool_is_called_without_the_leave_it_needs(world: WaitingWorld, course: Course) -> None:
    for run, call_id in play(world, course).invoked:
        assert isinstance(run.phase, Calling)
        wish = run.phase.call(call_id).wish
        if approvals.needed(run, wish) is not None:
            asked = run.approvals[call_id]
            assert asked.decision is not None
            assert approvals.is_approved(asked.decision)
            assert asked.approval.arguments_digest == approvals.digest(wish.arguments)


@thorough
@given(waiting_worlds, wild_courses)
def test_every_run_ends_within_its_limits_and_asks_nobody_any_more(
    world: WaitingWorld, course: Course
) -> None:
    played = play(world, course)

    assert played.story.kinds.count("turn_started") <= LIMITS.max_turns
    assert played.story.kinds.count("tool_call_started") <= LIMITS.max_tool_calls
    decided = {e.approval_decided.key for e in played.story.events}
    left = {a.key for a in played.board.values() if a.state == Approval.STATE_PENDING}
    assert left <= decided, "what nobody decided is withdrawn or expired"


@thorough
@given(waiting_worlds, wild_courses)
def test_every_child_begins_once_and_ends_or_is_cancelled(
    world: WaitingWorld, course: Course
) -> None:
    played = play(world, course)
    events = played.story.events
    started = Counter(
        (e.child_started.key, e.child_started.index) for e in events if e.HasField("child_started")
    )
    ended = Counter(
        (e.child_ended.key, e.child_ended.index) for e in events if e.HasField("child_ended")
    )

    assert all(count == 1 for count in (*started.values(), *ended.values()))
    cancelled = requests(played.jobs, played.story.run.run_id, played.created)
    assert played.created.keys() == ended.keys() | cancelled
    assert played.story.run.usage.input_tokens == 7 * len(ended)


@thorough
@given(waiting_worlds, wild_courses)
def test_what_a_run_waits_for_comes_once_and_was_waited_for(
    world: WaitingWorld, course: Course
) -> None:
    events = play(world, course).story.events
    for asked, came in (
        ("timer_started", ("timer_fired",)),
        ("approval_requested", ("approval_decided", "approval_expired")),
    ):
        begun: set[str] = set()
        over: set[str] = set()
        for event in events:
            kind = str(event.WhichOneof("kind"))
            told = getattr(event, kind)
            if kind == asked:
                begun.add(told.approval.key if kind == "approval_requested" else told.key)
            elif kind in came:
                assert told.key in begun - over
                over.add(told.key)


@thorough
@given(waiting_worlds, wild_courses, st.integers(0, 60))
def test_a_waiting_run_is_its_journal(world: WaitingWorld, course: Course, cut: int) -> None:
    story = play(world, course).story
    first = story.events[: 1 + cut % len(story.events)]
    run = plan.fold(first)
    for event in story.events[len(first) :]:
        assert plan.decide(run) == plan.decide(run)
        run = plan.evolve(run, event)

    assert run == story.run == plan.fold(story.events)


@thorough
@given(waiting_worlds, wild_courses, st.integers(0, 60))
def test_stopping_begins_nothing_and_asks_nobody(
    world: WaitingWorld, course: Course, cut: int
) -> None:
    events = play(world, course).story.events
    run = plan.fold(events[: 1 + cut % len(events)])
    following = plan.follow_up(run, may_start=False)

    starts = {"turn_started", "turn_restarted", "tool_call_started"}
    starts |= {"approval_requested", "timer_started"}
    assert not starts & {str(event.WhichOneof("kind")) for event in following}


def test_the_worlds_are_full_of_waiting() -> None:
    """Worlds in which nobody waits would prove nothing."""
    kinds: Counter[str] = Counter()
    for seed in range(60):
        chance = Random(seed)  # noqa: S311 - it decides what happens in a test
        course = Course(parks=frozenset(range(60)), order=chance)
        kinds.update(play(WaitingWorld(seed, 0, session=False), course).story.kinds)

    for kind in (
        "approval_requested",
        "approval_escalated",
        "approval_decided",
        "approval_expired",
        "timer_fired",
        "child_ended",
        "run_waiting",
    ):
        assert kinds[kind] > 5, kinds
