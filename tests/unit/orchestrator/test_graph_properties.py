"""Whatever a graph looks like, whatever comes of its work, and wherever owners die."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from unit.orchestrator.graphs import (
    child_ends,
    child_starts,
    created,
    told,
    tool,
    workflow,
)
from unit.orchestrator.story import Story, errs, returns

from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.workflow_pb2 import WorkflowSpec
from pentad_chassis.workflows.shape import cycle, shape_of, source
from pentad_orchestrator import plan
from pentad_orchestrator.commands import (
    AwaitDeadline,
    AwaitTimer,
    Command,
    InvokeTool,
    StartChild,
)

_EVENTS_MAX = 4000
often = settings(max_examples=100, deadline=None)
_BACK_MAX = 3


@dataclass(frozen=True)
class World:
    """A graph, and work whose outcome depends on nothing but a seed and on what is asked."""

    seed: int
    luck: float
    """How often work succeeds."""

    def spec(self) -> WorkflowSpec:
        chance = Random(f"{self.seed}/shape")  # noqa: S311 - it decides what a test does
        names = [f"n{i}" for i in range(chance.randint(1, 8))]
        edges: list[Any] = []
        for i, name in enumerate(names):
            near = [before for before in names[:i] if chance.random() < 1.6 / len(names)]
            edges += [(f"{before} {name}", _condition(chance)) for before in near]
        spec = workflow({name: _node(chance) for name in names}, *edges)
        return _looped(spec, names, chance)

    def outcome(self, story: Story, command: Command) -> list[Event]:
        chance = Random(f"{self.seed}/{command!r}")  # noqa: S311 - likewise
        fails = chance.random() > self.luck
        match command:
            case InvokeTool(call_id):
                return [errs(call_id) if fails else returns(call_id, str(chance.randint(0, 9)))]
            case StartChild(key, index):
                reason = "MODEL_UNAVAILABLE" if fails else ""
                return [child_starts(command), child_ends(key, "3", index, reason)]
            case AwaitTimer():
                return [plan.elapsed(story.run, command)]
        raise AssertionError(command)


def _condition(chance: Random) -> dict[str, Any]:
    if chance.random() < 0.2:
        return {"otherwise": True}
    return {"condition": chance.choice(["true", "true", "false", "iteration < 2"])}


def _node(chance: Random) -> dict[str, Any]:
    retry = {"max_attempts": chance.randint(1, 2)}
    join: dict[str, Any] = {"join": chance.choice(["JOIN_ALL", "JOIN_ANY"])}
    agent = {"name": "clerk", "input": "go"}
    undo = {"compensation": {"agent": agent, "retry": retry}}
    return chance.choice(
        [
            tool(undone=True, retry=retry, **join),
            tool(undone=True, **join),
            tool(**join),
            {"agent": agent, **join, **undo},
            {"sleep": {"duration": "5s"}, **join},
            {"map": {"over": "[1, 2, 3]", "agent": agent, "first": chance.randint(0, 2),
                     "parallelism": chance.randint(1, 3)}, **join, **undo},
        ]
    )  # fmt: skip


def _looped(spec: WorkflowSpec, names: Sequence[str], chance: Random) -> WorkflowSpec:
    for _ in range(chance.randint(0, _BACK_MAX)):
        i = chance.randrange(len(names))
        edge = {"from": names[i], "to": names[chance.randint(0, i)], "condition": "iteration < 3"}
        spec.edges.add(**edge, max_iterations=chance.randint(1, 3))
    shape = shape_of(spec)
    kept = [e for n, e in enumerate(spec.edges) if n not in shape.bodies or shape.bodies[n]]
    del spec.edges[:]
    spec.edges.extend(kept)
    assert not cycle(shape_of(spec))
    return spec


worlds = st.builds(World, seed=st.integers(0, 2**32), luck=st.sampled_from([0.5, 0.9, 1.0]))
orders = st.randoms(use_true_random=False)


def play(
    world: World,
    order: Random | None = None,
    crashes: frozenset[int] = frozenset(),
    stop: tuple[int, str] | None = None,
    story: Story | None = None,
) -> Story:
    """Drive a run to its end; with `order`, outcomes come in any; owners die at `crashes`.

    It begins with `story`, or where every run does.
    """
    story = (story or Story(created(world.spec()))).start()
    for number in range(_EVENTS_MAX):
        if story.run.ended:
            return story
        if number in crashes:
            story.start()
        if stop is not None and stop[0] == number:
            end = plan.deadline_reached() if stop[1] == "time" else plan.cancelled(story.run, "x")
            if end is not None:
                story.record(end)
                continue
        commands = [c for c in plan.decide(story.run) if not isinstance(c, AwaitDeadline)]
        assert commands, "something is under way until the run ends"
        command = order.choice(commands) if order else commands[0]
        story.record(*world.outcome(story, command))
    raise AssertionError("the run does not end")


def paths(story: Story, kind: str) -> list[str]:
    return [getattr(e, kind).path for e in story.events if e.HasField(kind)]  # type: ignore[arg-type]


def undoable(story: Story) -> list[str]:
    """Return what was done and can be taken back, in the order in which it was done."""
    found = []
    for path in paths(story, "node_completed"):
        spec = story.run.created.graph.spec
        node = next(n for n in spec.nodes if n.name == path.partition("[")[0].partition("#")[0])
        if node.HasField("compensation") and node.HasField("map") == ("[" in path):
            found.append(path)
    return found


@often
@given(worlds, orders)
def test_every_graph_ends_and_its_loops_are_bounded(world: World, order: Random) -> None:
    story = play(world, order)

    spec = story.run.created.graph.spec
    rounds = 1 + sum(edge.max_iterations for edge in spec.edges)
    begun = Counter(p.partition("#")[0] for p in paths(story, "node_started") if "[" not in p)
    attempts = 2
    assert all(count <= rounds * attempts for count in begun.values())
    assert story.kinds[-1] in {"run_completed", "run_failed"}


@often
@given(worlds, orders, st.sampled_from(["", "time", "caller"]), st.integers(0, 40))
def test_what_was_done_is_taken_back_once_and_in_reverse_order(
    world: World, order: Random, who: str, at: int
) -> None:
    story = play(world, order, stop=(at, who) if who else None)

    undone = [
        getattr(e, kind).path
        for e in story.events
        for kind in ("compensation_completed", "compensation_failed")
        if e.HasField(kind) and not (kind == "compensation_failed" and _again(e))
    ]
    if story.kinds[-1] == "run_completed":
        assert undone == []
    else:
        assert undone == list(reversed(undoable(story)))
        unwinding = plan.status(story.run).unwinding
        assert Counter(undone) == Counter([*unwinding.compensated, *unwinding.not_compensated])


def _again(event: Event) -> bool:
    return event.compensation_failed.HasField("retry_after")


@often
@given(worlds, orders, st.sampled_from(["", "time", "caller"]), st.integers(0, 40))
def test_nothing_is_begun_while_it_is_unwound_but_what_takes_back(
    world: World, order: Random, who: str, at: int
) -> None:
    story = play(world, order, stop=(at, who) if who else None)

    stops = {"unwinding_started", "deadline_reached"}
    first = next((i for i, kind in enumerate(story.kinds) if kind in stops), len(story.kinds))
    assert "node_started" not in story.kinds[first:]
    starts = [i for i, kind in enumerate(story.kinds) if kind == "compensation_started"]
    ends = {"compensation_completed", "compensation_failed"}
    for one, other in pairwise(starts):
        assert ends & {*story.kinds[one:other]}, "one at a time"


@often
@given(worlds, orders, st.frozensets(st.integers(0, 60)))
def test_a_graph_is_its_journal_and_crashes_change_nothing(
    world: World, order: Random, crashes: frozenset[int]
) -> None:
    story = play(world, order, crashes)
    assert plan.fold(story.events) == story.run

    assert told(play(world, crashes=crashes)) == told(play(world))


@often
@given(worlds, orders)
def test_joins_hold(world: World, order: Random) -> None:
    """In a graph without loops, a node begins when its edges say so, and not before."""
    spec = world.spec()
    if any(edge.max_iterations for edge in spec.edges):
        return
    story = play(world, order)
    settled: set[str] = set()
    taken: set[int] = set()
    for event in story.events:
        if event.HasField("node_completed") and "[" not in event.node_completed.path:
            settled.add(event.node_completed.path)
            taken.update(event.node_completed.edges)
        elif event.HasField("node_skipped"):
            settled.add(event.node_skipped.node)
            assert not _into(spec, event.node_skipped.node) & taken
        elif event.HasField("node_started") and event.node_started.attempt == 1:
            _check_start(spec, event.node_started.path, settled, taken)
    if story.kinds[-1] == "run_completed":
        assert settled == {node.name for node in spec.nodes}, "nothing is left out"


def _into(spec: WorkflowSpec, node: str) -> set[int]:
    return {place for place, edge in enumerate(spec.edges) if edge.to == node}


def _check_start(spec: WorkflowSpec, path: str, settled: set[str], taken: set[int]) -> None:
    into = _into(spec, path)
    if "[" in path or not into:
        return
    assert into & taken, "something leads to it"
    (node,) = (each for each in spec.nodes if each.name == path)
    if node.join != 2:
        assert {source(spec.edges[place]) for place in into} <= settled


@often
@given(worlds, orders, st.integers(0, 60))
def test_draining_begins_nothing(world: World, order: Random, cut: int) -> None:
    events = play(world, order).events
    run = plan.fold(events[: 1 + cut % len(events)])
    following = plan.follow_up(run, may_start=False)

    starts = {"node_started", "compensation_started", "tool_call_started", "timer_started"}
    assert not starts & {str(event.WhichOneof("kind")) for event in following}
    assert plan.follow_up(run)[: len(following)] == following
