"""Whether what concurrent clients saw could have happened one after the other.

A history holds operations with the moments of their invocation and of their response. It is
linearizable when each operation can be given one moment between the two, so that a sequential model
that performs them in the order of those moments gives the same answers. The search is that of Wing
and Gong with the memory of Lowe: a set of operations that are done together with the state they
led to is tried once.

An operation whose answer was lost has no response: it may have taken place at any time since, or
never. Histories of different keys are independent, so that each is searched by itself.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Generic, TypeVar

State = TypeVar("State", bound=Hashable)
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Operation:
    """One call of one client."""

    call: Hashable
    """What was asked."""
    answer: Hashable
    """What came back; without meaning when nothing did."""
    begun_s: float
    ended_s: float = inf
    """`inf` when no answer came."""

    @property
    def answered(self) -> bool:
        return self.ended_s < inf


Step = Callable[[State, Hashable], tuple[State, Hashable]]
"""The model: from a state and a call to the next state and the answer."""


@dataclass(frozen=True, slots=True)
class Verdict(Generic[State]):
    """What a search found."""

    order: Sequence[Operation] | None
    """One order that explains every answer; None when there is none."""
    longest: Sequence[Operation]
    """The longest beginning of an order that was found, for people."""
    stuck: Sequence[Operation] = ()
    """Of those that could have come next, none gave the answer that was seen."""

    def __bool__(self) -> bool:
        return self.order is not None


def check(history: Iterable[Operation], step: Step[State], initial: State) -> Verdict[State]:
    """Search for an order that explains the history."""
    operations = tuple(sorted(history, key=lambda operation: operation.begun_s))
    return _Search(operations, step).run(initial)


def check_keys(
    history: Iterable[tuple[Key, Operation]], step: Step[State], initial: State
) -> dict[Key, Verdict[State]]:
    """Search each key's history; return those that nothing explains."""
    by_key: defaultdict[Key, list[Operation]] = defaultdict(list)
    for key, operation in history:
        by_key[key].append(operation)
    verdicts = {key: check(operations, step, initial) for key, operations in by_key.items()}
    return {key: verdict for key, verdict in verdicts.items() if not verdict}


class _Search(Generic[State]):
    """Depth first, without recursion: histories are longer than stacks are deep."""

    def __init__(self, operations: Sequence[Operation], step: Step[State]) -> None:
        self._operations = operations
        self._step = step
        self._all_answered = sum(1 << i for i, o in enumerate(operations) if o.answered)
        self._seen: set[tuple[int, Hashable]] = set()
        self._longest: tuple[int, ...] = ()
        self._stuck: list[int] = []

    def run(self, initial: State) -> Verdict[State]:
        trail: list[tuple[int, State, list[int]]] = [(0, initial, self._next(0))]
        order: list[int] = []
        while trail:
            done, state, candidates = trail[-1]
            if done & self._all_answered == self._all_answered:
                return Verdict(self._named(order), self._named(order))
            if not candidates:
                trail.pop()
                if order:
                    order.pop()
                continue
            chosen = candidates.pop()
            after = self._performed(state, chosen)
            if after is None or (done | 1 << chosen, after[0]) in self._seen:
                continue
            done |= 1 << chosen
            self._seen.add((done, after[0]))
            order.append(chosen)
            following = self._next(done)
            if len(order) > len(self._longest):
                self._longest, self._stuck = tuple(order), list(following)
            trail.append((done, after[0], following))
        return Verdict(None, self._named(self._longest), self._named(self._stuck))

    def _performed(self, state: State, index: int) -> tuple[State] | None:
        """Return the state after an operation, unless its answer would be another."""
        operation = self._operations[index]
        after, answer = self._step(state, operation.call)
        if operation.answered and answer != operation.answer:
            return None
        return (after,)

    def _next(self, done: int) -> list[int]:
        """Return what may come next: whatever began before the first of the rest has ended."""
        found: list[int] = []
        first_end_s = inf
        for index, operation in enumerate(self._operations):
            if operation.begun_s > first_end_s:
                break
            if not done >> index & 1:
                found.append(index)
                first_end_s = min(first_end_s, operation.ended_s)
        # Those that ended first are tried first; what nobody heard of comes last.
        found.sort(key=lambda i: self._operations[i].ended_s, reverse=True)
        return found

    def _named(self, order: Iterable[int]) -> list[Operation]:
        return [self._operations[index] for index in order]
