"""Runs that wait for people, times and other runs, all of whom do whatever a seed says."""

import json
from collections import Counter
from dataclasses import dataclass, field
from random import Random

from hypothesis import strategies as st
from unit.orchestrator.story import Story, asks, says
from unit.orchestrator.waits import created, decided, ended
from unit.orchestrator.worlds import LIMITS, World

from pentad.state.v1.approval_pb2 import Approval
from pentad.state.v1.approval_policy_pb2 import ApprovalPolicy
from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.job_pb2 import Job
from pentad_orchestrator import approvals, children, outbox, plan
from pentad_orchestrator.commands import AwaitDeadline, AwaitTimer, Command, InvokeTool, StartChild
from pentad_orchestrator.run import Calling, InTurn, Run

_STEPS_MAX = 3000
_POLICY = ApprovalPolicy(
    condition="arguments.amount > 5", approvers=["boss"], escalate_to=["owner"]
)
_POLICY.escalate_after.seconds = 60


@dataclass(frozen=True)
class WaitingWorld(World):
    """An agent that asks people, sleeps, and has another one work."""

    def story(self) -> Story:
        made = created(policy=_POLICY)
        made.spec.limits.CopyFrom(LIMITS)
        return Story(made)

    def _turn(self, run: Run) -> Event:
        assert isinstance(run.phase, InTurn)
        chance = self._chance(f"{run.turn}/{run.phase.failures}")
        if chance.random() < 0.2:
            return says(run, f"answer {run.turn}")
        tools = ["add", "add", "sub", "ask_human", "sleep", "agent_helper", "agent_helper"]
        event = asks(run, chance.choices(tools, k=chance.randint(1, 3)))
        for call in event.turn_completed.message.tool_calls:
            call.arguments.text = json.dumps(self._arguments(call.tool, chance))
        return event

    def _arguments(self, tool: str, chance: Random) -> dict[str, object]:
        match tool:
            case "ask_human":
                return {"question": "Which?"} if chance.random() < 0.9 else {}
            case "sleep":
                return {"seconds": chance.randint(1, 900)}
            case "agent_helper":
                join = chance.choice(["all", "any", "first"])
                inputs = ["x"] * chance.randint(1, 4)
                return {"inputs": inputs, "parallelism": 2, "join": join, "count": 2}
        return {"amount": chance.randint(0, 10)}

    def decision(self, key: str) -> Event | None:
        """Return what a person says about an approval, sooner or later; None for never."""
        chance = self._chance(f"person/{key}").random()
        return None if chance < 0.2 else decided(key, approved=chance < 0.7, answer='"M"')

    def child(self, key: str, index: int) -> Event:
        """Return how a child ends."""
        fails = self._chance(f"child/{key}/{index}").random() < 0.3
        return ended(index, "" if fails else f"{key}/{index}", key, input_tokens=7)


@dataclass
class Course:
    """What befalls a run, by the number of the step."""

    crashes: frozenset[int] = frozenset()
    parks: frozenset[int] = frozenset()
    order: Random | None = None
    cancel: int | None = None


@dataclass
class Played:
    """A run that was played to its end, and what others saw of it."""

    story: Story
    created: Counter[tuple[str, int]] = field(default_factory=Counter)
    """Children that exist, whether or not it is journalled."""
    over: dict[tuple[str, int], Event] = field(default_factory=dict)
    jobs: list[Job] = field(default_factory=list)
    board: dict[str, Approval] = field(default_factory=dict)
    """Approvals as people see them."""
    invoked: list[tuple[Run, str]] = field(default_factory=list)

    def record(self, *events: Event) -> None:
        """Have an append made; what goes beside it is seen by others."""
        before, length = self.story.run, len(self.story.events)
        self.story.record(*events)
        after = self.story.run
        for change in approvals.changes(before, self.story.events[length:], after):
            self.board[change.approval.key] = change.approval
        cancels = outbox.cancels(before, after)
        self.jobs += cancels
        wanted = {name for name, child in after.children.items() if child.open}
        wanted |= {(c.key, c.index) for c in plan.decide(after) if isinstance(c, StartChild)}
        named = wanted & requests(cancels, after.run_id, self.created)
        assert after.ended or not named, "what is waited for is not cancelled"


def play(world: WaitingWorld, course: Course, story: Story | None = None) -> Played:
    """Drive a run to its end, from `story` on or from where every run begins."""
    story = story or world.story()
    played = Played(story)
    story.start()
    for number in range(_STEPS_MAX):
        if story.run.ended:
            return played
        if number in course.crashes:
            _crash(played)
        if number == course.cancel and (end := plan.cancelled(story.run, "enough")):
            _crash(played)
            played.record(end)
            continue
        _let_go(played, park=number in course.parks)
        choices = [*_outside(world, played), *_commands(world, story.run)]
        choice = course.order.choice(choices) if course.order else choices[0]
        if isinstance(choice, Event):
            told = choice.child_ended
            if choice.HasField("child_ended"):
                played.over[told.key, told.index] = choice
            played.record(choice)
        else:
            played.record(_outcome(world, played, choice))
    raise AssertionError(f"the run does not end: {story.kinds[-5:]}")


def _outside(world: WaitingWorld, played: Played) -> list[Event]:
    """Return what people and other runs could say now."""
    run = played.story.run
    said = [world.decision(key) for key, asked in run.approvals.items() if asked.open]
    told = [world.child(*name) for name in played.created if name not in played.over]
    return [event for event in said if event is not None] + [
        event for event in told if plan.follows(run, event)
    ]


def _commands(world: WaitingWorld, run: Run) -> list[Command]:
    """Return what could come to its end now; nobody waits for what a person is about to say."""
    return [
        command
        for command in plan.decide(run)
        if not isinstance(command, AwaitDeadline)
        and not (
            isinstance(command, AwaitTimer)
            and command.key in run.approvals
            and world.decision(command.key) is not None
        )
    ]


def _outcome(world: WaitingWorld, played: Played, command: Command) -> Event:
    if isinstance(command, StartChild):
        played.created[command.key, command.index] += 1
    if isinstance(command, InvokeTool):
        played.invoked.append((played.story.run, command.call_id))
    return world.outcome(played.story, command)


def _crash(played: Played) -> None:
    """Have an owner die, perhaps after it created children and before it could say so."""
    for command in plan.decide(played.story.run):
        if isinstance(command, StartChild) and (command.key, command.index) not in played.created:
            played.created[command.key, command.index] += 1
    played.story.start(lost=False)


def _let_go(played: Played, *, park: bool) -> None:
    run = played.story.run
    idle = not any(not isinstance(c, AwaitTimer | AwaitDeadline) for c in plan.decide(run))
    event = plan.waiting(run) if park and idle and isinstance(run.phase, Calling) else None
    if event is not None:
        played.story.add(event)
        played.story.start()


def requests(jobs: list[Job], run_id: str, names: Counter[tuple[str, int]]) -> set[tuple[str, int]]:
    """Return which children are to be cancelled by these jobs."""
    by_id = {f"07-{key}-{index}": (key, index) for key, index in names}
    by_id |= {children.request_id(run_id, key, index): (key, index) for key, index in names}
    cancelled = [job.cancel_run.run_id or job.cancel_run.request_id for job in jobs]
    return {by_id[name] for name in cancelled if name in by_id}


waiting_worlds = st.builds(
    WaitingWorld, seed=st.integers(0, 2**32), steps=st.just(0), session=st.just(False)
)
