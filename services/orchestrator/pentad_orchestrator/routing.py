"""Which executor performs a turn: strategies without clock, chance or network."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from pentad.state.v1.agent_pb2 import Routing


@dataclass(frozen=True, slots=True)
class Instance:
    """An executor that a turn may go to, as it stands now."""

    instance_id: str
    in_hand: int = 0
    """Turns it performs, for us and for others."""

    room: int = 1
    """Turns it performs at once, at most."""

    weight: int = 100
    region: str = ""

    @property
    def fullness(self) -> float:
        """The part of its room that is taken; endless where there is no room at all."""
        return self.in_hand / self.room if self.room > 0 else float("inf")


@dataclass(slots=True)
class Choices:
    """What the strategies remember of earlier choices, to be fair over many."""

    count: int = 0
    last: dict[str, int] = field(default_factory=dict)
    """When each instance was chosen last, counted in choices."""

    credit: dict[str, float] = field(default_factory=dict)
    """What each instance has earned by its weight and not spent."""

    def forget_all_but(self, instance_ids: Collection[str]) -> None:
        """Drop what is remembered of instances that are gone."""
        for memory in (self.last, self.credit):
            for gone in memory.keys() - set(instance_ids):
                del memory[gone]


def choose(
    routing: Routing.ValueType,
    instances: Sequence[Instance],
    key: str,
    region: str,
    choices: Choices,
) -> Instance:
    """Return one of `instances`, of which there is at least one, and note it in `choices`.

    `key` is what affinity keeps together, `region` the caller's own. A strategy that is not
    known, as one of a later version, is round robin.
    """
    match routing:
        case Routing.ROUTING_LEAST_BUSY:
            chosen = _longest_waiting(_least_full(instances), choices)
        case Routing.ROUTING_WEIGHTED:
            chosen = _by_weight(instances, choices)
        case Routing.ROUTING_SESSION_AFFINITY:
            chosen = max(instances, key=lambda instance: _affinity(key, instance))
        case Routing.ROUTING_NEAREST_REGION:
            chosen = _longest_waiting(_near(instances, region), choices)
        case _:
            chosen = _longest_waiting(instances, choices)
    choices.count += 1
    choices.last[chosen.instance_id] = choices.count
    return chosen


def _longest_waiting(instances: Sequence[Instance], choices: Choices) -> Instance:
    """Each in turn, whoever comes and goes: the one whose last turn was longest ago."""
    return min(instances, key=lambda i: (choices.last.get(i.instance_id, 0), i.instance_id))


def _least_full(instances: Sequence[Instance]) -> Sequence[Instance]:
    least = min(instance.fullness for instance in instances)
    return [instance for instance in instances if instance.fullness == least]


def _near(instances: Sequence[Instance], region: str) -> Sequence[Instance]:
    """Those of the region that have room, or else all."""
    near = [i for i in instances if i.region == region and i.fullness < 1]
    return near or instances


def _by_weight(instances: Sequence[Instance], choices: Choices) -> Instance:
    """Smooth weighted round robin, as nginx does it: no bursts to the heaviest."""
    credit = choices.credit
    for instance in instances:
        earned = credit.get(instance.instance_id, 0.0)
        credit[instance.instance_id] = earned + instance.weight
    chosen = max(instances, key=lambda i: (credit[i.instance_id], i.instance_id))
    credit[chosen.instance_id] -= sum(instance.weight for instance in instances)
    return chosen


def _affinity(key: str, instance: Instance) -> bytes:
    """Rendezvous hashing: when an instance goes, only the keys it had go elsewhere."""
    both = f"{len(key)}:{key}{instance.instance_id}"
    return hashlib.blake2b(both.encode(), digest_size=8).digest()
