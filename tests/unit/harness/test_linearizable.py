"""The checker explains what can be explained, and nothing else."""

from collections.abc import Hashable
from random import Random

import pytest
from harness.linearizable import Operation, check, check_keys


def register(state: int, call: Hashable) -> tuple[int, Hashable]:
    """A register that is read, written, and changed by those who know what it holds."""
    match call:
        case "read":
            return state, state
        case ("write", int(value)):
            return value, "ok"
        case ("swap", old, int(new)):
            return (new, True) if state == old else (state, False)
    raise AssertionError(call)


def op(call: Hashable, answer: Hashable, begun: float, ended: float = float("inf")) -> Operation:
    return Operation(call, answer, begun, ended)


LINEARIZABLE = {
    "nothing": [],
    "one after the other": [op(("write", 1), "ok", 0, 1), op("read", 1, 2, 3)],
    "a read during a write sees what was before": [
        op(("write", 1), "ok", 0, 9),
        op("read", 0, 1, 2),
        op("read", 1, 3, 4),
    ],
    "two writes at once, in the order that reads tell": [
        op(("write", 1), "ok", 0, 5),
        op(("write", 2), "ok", 0, 5),
        op("read", 2, 1, 6),
        op("read", 1, 6.5, 7),
    ],
    "a lost write that took place much later": [
        op(("write", 1), None, 0),
        op("read", 0, 1, 2),
        op("read", 1, 3, 4),
    ],
    "a lost write that never took place": [op(("write", 1), None, 0), op("read", 0, 5, 6)],
    "one of two swaps wins": [
        op(("swap", 0, 1), True, 0, 4),
        op(("swap", 0, 2), False, 0, 4),
        op("read", 1, 5, 6),
    ],
}

IMPOSSIBLE = {
    "a stale read": [op(("write", 1), "ok", 0, 1), op("read", 0, 2, 3)],
    "a read of what nobody wrote": [op(("write", 1), "ok", 0, 1), op("read", 2, 0, 3)],
    "a lost update: both swaps win": [
        op(("swap", 0, 1), True, 0, 4),
        op(("swap", 0, 2), True, 0, 4),
    ],
    "reads that go back in time": [
        op(("write", 1), "ok", 0, 9),
        op("read", 1, 1, 2),
        op("read", 0, 3, 4),
    ],
    "two readers that disagree on the order of two writes": [
        op(("write", 1), "ok", 0, 1),
        op(("write", 2), "ok", 0, 1),
        op("read", 1, 2, 3),
        op("read", 2, 4, 5),
    ],
    "a lost write that comes and goes": [
        op(("write", 1), None, 0),
        op("read", 1, 1, 2),
        op("read", 0, 3, 4),
    ],
}


@pytest.mark.parametrize("name", LINEARIZABLE)
def test_what_could_have_happened_is_explained(name: str) -> None:
    history = LINEARIZABLE[name]
    verdict = check(history, register, 0)

    assert verdict
    assert verdict.order is not None
    state = 0
    for operation in verdict.order:
        state, answer = register(state, operation.call)
        assert answer == operation.answer or not operation.answered


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_what_cannot_have_happened_is_not_explained(name: str) -> None:
    verdict = check(IMPOSSIBLE[name], register, 0)

    assert not verdict
    assert len(verdict.longest) < len(IMPOSSIBLE[name])
    assert verdict.stuck


def test_keys_are_searched_apart() -> None:
    good = op("read", 0, 0, 1)
    bad = op("read", 7, 0, 1)

    assert check_keys([("a", good), ("b", bad), ("c", good)], register, 0).keys() == {"b"}


@pytest.mark.parametrize("seed", range(8))
def test_histories_of_a_true_register_are_explained_and_spoilt_ones_are_not(seed: int) -> None:
    chance = Random(seed)  # noqa: S311 - it makes up a history
    history, state = [], 0
    for at in range(120):
        call: Hashable = chance.choice(
            ["read", ("write", at), ("swap", state, at), ("swap", -1, at)]
        )
        state, answer = register(state, call)
        history.append(op(call, answer, at - chance.uniform(0, 8), at + chance.uniform(0, 8)))

    assert check(history, register, 0)
    spoilt = [*history, op("read", -5, 60, 66)]
    assert not check(spoilt, register, 0)
