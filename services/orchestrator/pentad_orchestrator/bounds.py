"""What a run may use: the smallest of what it and its agents allow."""

from collections.abc import Iterable
from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration

from pentad.state.v1.agent_pb2 import Agent, Limits
from pentad.state.v1.event_pb2 import RunCreated

_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class RunBounds:
    """What the whole run may use."""

    turns: int
    tool_calls: int
    wall_time_s: float


@dataclass(frozen=True, slots=True)
class TurnBounds:
    """What one model turn may use."""

    output_tokens: int
    """0 for the provider's default."""

    timeout_s: float


def run_bounds(created: RunCreated) -> RunBounds:
    """Return what the whole run may use; every agent that takes part has a say."""
    limits = [created.spec.limits, *(agent.limits for agent in created.agents)]
    return RunBounds(
        turns=int(_smallest((x.max_turns for x in limits), default=50, most=1000)),
        tool_calls=int(_smallest((x.max_tool_calls for x in limits), default=200, most=10_000)),
        wall_time_s=_smallest(
            (to_seconds(x.wall_time) for x in limits), default=_HOUR_S, most=30 * 24 * _HOUR_S
        ),
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


def to_seconds(duration: Duration) -> float:
    """Return a duration as a number."""
    return duration.seconds + duration.nanos / 1e9


def _smallest(values: Iterable[float], *, default: float, most: float) -> float:
    given = [value for value in values if value > 0]
    return min(*given, most) if given else default
