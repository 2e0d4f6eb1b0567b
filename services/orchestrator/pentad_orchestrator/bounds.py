"""What a run may use: the smallest of what it and its agents allow."""

from collections.abc import Iterable
from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration

from pentad.state.v1.agent_pb2 import Agent, Limits
from pentad.state.v1.budget_pb2 import Budget
from pentad.state.v1.event_pb2 import RunCreated

_HOUR_S = 3600.0


_QUANTITIES = ("tokens", "cost_nano_usd", "turns", "tool_calls")


@dataclass(frozen=True, slots=True)
class RunBounds:
    """What the whole run may use."""

    turns: int
    tool_calls: int
    wall_time_s: float
    repeats: int = 5
    """Turns in a row that may repeat the one before them."""

    is_wall_time_of_budget: bool = False
    """A budget ends the wall time, and not a limit."""


@dataclass(frozen=True, slots=True)
class TurnBounds:
    """What one model turn may use."""

    output_tokens: int
    """0 for the provider's default."""

    timeout_s: float


def run_bounds(created: RunCreated) -> RunBounds:
    """Return what the whole run may use; every agent that performs a step has a say."""
    performers = {step.agent for step in created.steps}
    agents = (agent for agent in created.agents if agent.name in performers)
    limits = [created.spec.limits, *(agent.limits for agent in agents)]
    limited_s = [to_seconds(x.wall_time) for x in limits]
    budgeted_s = to_seconds(budget_of(created).wall_time)
    return RunBounds(
        turns=int(_smallest((x.max_turns for x in limits), default=50, most=1000)),
        tool_calls=int(_smallest((x.max_tool_calls for x in limits), default=200, most=10_000)),
        wall_time_s=_smallest((*limited_s, budgeted_s), default=_HOUR_S, most=30 * 24 * _HOUR_S),
        repeats=int(_smallest((x.max_repeats for x in limits), default=5, most=100)),
        is_wall_time_of_budget=0 < budgeted_s <= min(filter(None, limited_s), default=budgeted_s),
    )


def turn_bounds(limits: Limits, agent: Agent) -> TurnBounds:
    """Return what one turn of `agent` may use in a run with `limits`."""
    both = (limits, agent.limits)
    return TurnBounds(
        output_tokens=int(_smallest((x.max_output_tokens for x in both), default=0, most=2**31)),
        timeout_s=_smallest(
            (to_seconds(x.turn_timeout) for x in both), default=120.0, most=_HOUR_S
        ),
    )


def budget_of(created: RunCreated) -> Budget:
    """Return what the run and all that it starts may spend: of each quantity the least allowed."""
    performers = {step.agent for step in created.steps}
    given = [created.spec.budget]
    given += (agent.budget for agent in created.agents if agent.name in performers)
    least = Budget()
    for name in _QUANTITIES:
        bounds = [getattr(budget, name) for budget in given if _is_set(budget, name)]
        if bounds:
            setattr(least, name, min(bounds))
    if times := [budget.wall_time for budget in given if budget.HasField("wall_time")]:
        least.wall_time.CopyFrom(min(times, key=lambda time: time.ToNanoseconds()))
    return least


def to_seconds(duration: Duration) -> float:
    """Return a duration as a number."""
    return duration.seconds + duration.nanos / 1e9


def _smallest(values: Iterable[float], *, default: float, most: float) -> float:
    given = [value for value in values if value > 0]
    return min(*given, most) if given else default


def _is_set(budget: Budget, name: str) -> bool:
    return budget.HasField(name)  # type: ignore[arg-type] # all of them are its fields
