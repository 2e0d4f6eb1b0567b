"""Wherever runs are paused, whoever dies meanwhile: nothing is lost, nothing is done twice."""

from collections import Counter
from dataclasses import dataclass, field, replace
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from unit.orchestrator.story import Story, unknown
from unit.orchestrator.worlds import World, ending, thorough, worlds

from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.message_pb2 import Payload
from pentad.state.v1.run_pb2 import RunStatus, Settlement
from pentad_orchestrator import plan
from pentad_orchestrator.commands import AwaitDeadline, Command, InvokeTool

STEPS_MAX = 2000
places = st.frozensets(st.integers(0, 60), max_size=20)


@dataclass
class Runners:
    """Tools that must not be repeated, their ledger, and a person who finds out what happened."""

    world: World
    done: dict[str, Event] = field(default_factory=dict)
    made: Counter[str] = field(default_factory=Counter)

    def invoke(self, command: InvokeTool) -> Event:
        call_id = command.call_id
        if call_id not in self.done:
            if self._dies(call_id) and not command.not_done_up_to:
                return unknown(call_id)
            self.made[call_id] += 1
            self.done[call_id] = self.world._call(call_id)
        return self.done[call_id]

    def found(self, call_id: str) -> Settlement:
        finding = self.world._chance(f"finding/{call_id}").choice(["result", "failure", "not done"])
        match finding:
            case "result":
                return Settlement(call_id=call_id, result=Payload(text=f"found {call_id}"))
            case "failure":
                return Settlement(call_id=call_id, failure="it did not work")
        return Settlement(call_id=call_id, not_done=True)

    def _dies(self, call_id: str) -> bool:
        return self.world._chance(f"fate/{call_id}").random() < 0.3


@dataclass(frozen=True)
class Course:
    """What happens to a run besides its work, by the number of the step."""

    pauses: frozenset[int] = frozenset()
    crashes: frozenset[int] = frozenset()
    """Owners that die; one of them may be the one that is to carry a settlement out."""

    order: Random | None = None


def play(course: Course, runners: Runners) -> Story:
    """Drive a run to its end, and let a person resume it whenever it is paused."""
    story = runners.world.story().start()
    for number in range(STEPS_MAX):
        if story.run.ended:
            return story
        if number in course.crashes:
            story.start()
        if story.run.paused:
            effects = plan.status(story.run).pause.unknown_effects
            told = [runners.found(effect.call_id) for effect in effects]
            story.wait(number).resume(*told, pause="again" if number in course.pauses else None)
            continue
        pause = "rest" if number in course.pauses else None
        command = _next(story, course.order)
        story.record(_outcome(runners, story, command), pause=pause)
    raise AssertionError("the run does not end")


def _next(story: Story, order: Random | None) -> Command:
    commands = [c for c in plan.decide(story.run) if not isinstance(c, AwaitDeadline)]
    return order.choice(commands) if order else commands[0]


def _outcome(runners: Runners, story: Story, command: Command) -> Event:
    if isinstance(command, InvokeTool):
        return runners.invoke(command)
    return runners.world.outcome(story, command)


courses = st.builds(Course, places, places)
wild_courses = st.builds(Course, places, places, st.randoms(use_true_random=False))


@thorough
@given(worlds, courses)
def test_pauses_and_crashes_change_nothing_about_the_end(world: World, course: Course) -> None:
    assert ending(play(course, Runners(world))) == ending(play(Course(), Runners(world)))


@thorough
@given(worlds, wild_courses)
def test_every_call_has_one_outcome_and_is_made_once_at_most(world: World, course: Course) -> None:
    runners = Runners(world)
    story = play(course, runners)

    begun = Counter(
        e.tool_call_started.call_id for e in story.events if e.HasField("tool_call_started")
    )
    ended = Counter(
        e.tool_call_completed.call_id for e in story.events if e.HasField("tool_call_completed")
    )
    assert all(count == 1 for count in (*begun.values(), *ended.values(), *runners.made.values()))
    if story.kinds[-1] == "run_completed":
        assert begun == ended
        assert runners.made.keys() <= ended.keys()


@thorough
@given(worlds, wild_courses)
def test_every_outcome_that_a_runner_gave_or_a_person_found_is_kept(
    world: World, course: Course
) -> None:
    runners = Runners(world)
    story = play(course, runners)
    kept = {
        e.tool_call_completed.call_id: e.tool_call_completed.result.text
        for e in story.events
        if e.tool_call_completed.HasField("result")
    }

    given = {i: e.tool_call_completed for i, e in runners.done.items()}
    expected = {i: c.result.text for i, c in given.items() if c.HasField("result")}
    settled = [s for e in story.events for s in e.run_resumed.settlements]
    expected |= {s.call_id: s.result.text for s in settled if s.HasField("result")}
    assert kept == expected


@thorough
@given(worlds, wild_courses)
def test_the_wall_time_stands_still_exactly_while_the_run_is_paused(
    world: World, course: Course
) -> None:
    story = play(course, Runners(world))
    deadline_s = plan.fold(story.events[:1]).deadline_s
    paused_at_s: int | None = None
    run = plan.fold(story.events[:1])
    for event in story.events[1:]:
        run = plan.evolve(run, event)
        if event.HasField("run_paused"):
            paused_at_s = event.time.seconds
        if event.HasField("run_resumed"):
            assert paused_at_s is not None
            deadline_s += event.time.seconds - paused_at_s
            paused_at_s = None
        assert run.deadline_s == deadline_s


@thorough
@given(worlds, wild_courses, st.integers(0, 200))
def test_a_run_can_be_paused_at_any_point_and_does_nothing_then(
    world: World, course: Course, cut: int
) -> None:
    events = play(course, Runners(world)).events
    run = plan.fold(events[: 2 + cut % (len(events) - 1)])
    pause = plan.paused(run, "look")
    if pause is None:
        assert run.ended or run.paused or plan.cancelled(run, "") is None
        return
    after = plan.evolve(run, pause)

    assert plan.decide(after) == plan.follow_up(after) == ()
    assert plan.status(after).state == RunStatus.STATE_PAUSED
    assert plan.cancelled(after, "enough") is not None
    assert replace(after, phase=run.phase, last_seq=run.last_seq) == run
