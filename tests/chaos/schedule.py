"""What is done to the suite, and when: all of it follows from the seed."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from harness.faults import (
    BLACK_HOLE,
    CUT_RESPONSES,
    DELAY,
    DROP,
    FREEZE,
    REFUSE,
    RESET,
    Fault,
)

RATE = 1.25
"""Injections a second."""

_RESTART_S = 3.0
"""A process is left alone for this long after it was killed, or it would never serve."""

_AFTER_FAILOVER_S = 25.0
"""The sentinels need some ten seconds to make a follower of a primary that comes back, and until
then nothing is acknowledged."""

_AFTER_S = 0.5
_DOWN_S = (0.0, 1.0)
_FAULT_S = (0.3, 4.0)
_BEYOND_LEASE_S = (0.3, 2.0)


class Kind(Enum):
    """What can be done."""

    KILL = "kill -9"
    STOP = "stop past the lease"
    ENGINE_KILL = "kill -9 of the engine"
    FAILOVER = "failover from a primary that died"
    FAILOVER_HUNG = "failover from a primary that hung"
    REFUSE = "connections refused"
    DROP = "connections cut"
    RESET = "connections reset"
    BLACK_HOLE = "black hole"
    FREEZE = "connections frozen"
    SILENCE = "answers held back"
    DELAY = "connections slow"


_WEIGHTS = {
    Kind.KILL: 30,
    Kind.STOP: 16,
    Kind.ENGINE_KILL: 4,
    Kind.FAILOVER: 10,
    Kind.FAILOVER_HUNG: 8,
    Kind.REFUSE: 9,
    Kind.DROP: 10,
    Kind.RESET: 6,
    Kind.BLACK_HOLE: 9,
    Kind.FREEZE: 5,
    Kind.SILENCE: 5,
    Kind.DELAY: 6,
}

_RESTS_S = {
    Kind.KILL: _RESTART_S,
    Kind.ENGINE_KILL: _RESTART_S,
    Kind.FAILOVER: _AFTER_FAILOVER_S,
    Kind.FAILOVER_HUNG: _AFTER_FAILOVER_S,
}
"""What was struck is left alone for so long afterwards."""

FAULTS: dict[Kind, Fault] = {
    Kind.REFUSE: REFUSE,
    Kind.DROP: DROP,
    Kind.RESET: RESET,
    Kind.BLACK_HOLE: BLACK_HOLE,
    Kind.FREEZE: FREEZE,
    Kind.SILENCE: CUT_RESPONSES,
    Kind.DELAY: DELAY,
}


@dataclass(frozen=True)
class Injection:
    """One blow."""

    at_s: float
    kind: Kind
    target: str
    """A process, or a hop as `CALLER>CALLEE`."""

    lasts_s: float


@dataclass(frozen=True)
class Targets:
    """What can be struck."""

    replicas: Sequence[str]
    engine: str
    """Empty where the store is behind sentinels."""

    primary: str
    """Empty where the store is one server."""

    hops: Sequence[str]

    def of(self, kind: Kind) -> Sequence[str]:
        """Return what a kind of blow can strike."""
        match kind:
            case Kind.KILL:
                return self.replicas
            case Kind.STOP:
                return (*self.replicas, *filter(None, [self.engine]))
            case Kind.ENGINE_KILL:
                return tuple(filter(None, [self.engine]))
            case Kind.FAILOVER | Kind.FAILOVER_HUNG:
                return tuple(filter(None, [self.primary]))
            case _:
                return self.hops


def plan(seed: int, seconds: float, targets: Targets, lease_s: float) -> list[Injection]:
    """Return all blows of a run in order; none strikes where another still works."""
    rng = random.Random(seed)  # noqa: S311 - a seed that repeats is the point
    planned: list[Injection] = []
    busy_until: dict[str, float] = {}
    at_s = 0.5 / RATE
    while at_s < seconds:
        kind = rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
        free = [name for name in targets.of(kind) if busy_until.get(name, 0.0) <= at_s]
        lasts_s = _duration(rng, kind, lease_s)
        if free:
            target = rng.choice(free)
            busy_until[target] = at_s + lasts_s + _RESTS_S.get(kind, _AFTER_S)
            planned.append(Injection(at_s, kind, target, lasts_s))
            at_s += rng.uniform(0.5, 1.5) / RATE
    return planned


def _duration(rng: random.Random, kind: Kind, lease_s: float) -> float:
    if kind in {Kind.KILL, Kind.ENGINE_KILL}:
        return rng.uniform(*_DOWN_S)
    if kind is Kind.STOP:
        return lease_s + rng.uniform(*_BEYOND_LEASE_S)
    return rng.uniform(*_FAULT_S)
