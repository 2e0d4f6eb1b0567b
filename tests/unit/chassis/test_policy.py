import pytest
from hypothesis import given
from hypothesis import strategies as st

from pentad_chassis.errors import CircuitOpen, DeadlineTooShort, NotFound, Unavailable
from pentad_chassis.policy import (
    FLOOR_S,
    TRIM_S,
    RetryBudget,
    call_timeout,
    may_retry,
    trim,
)


def test_retries_stop_when_the_budget_is_spent_and_come_back_with_successes() -> None:
    budget = RetryBudget()
    assert budget.allows()

    for _ in range(5):
        budget.failed()
    assert not budget.allows()

    for _ in range(10):
        budget.succeeded()
    assert budget.allows(), "one retry for ten calls that went well"


def test_a_server_takes_a_little_off_its_callers_time_and_of_little_only_a_part() -> None:
    assert trim(10.0) == TRIM_S
    assert trim(0.2) == pytest.approx(0.02)


def test_only_an_unavailable_peer_is_worth_a_retry() -> None:
    used_up = Unavailable("gone")
    used_up.retried = True

    assert may_retry(Unavailable("gone"))
    assert not may_retry(used_up)
    assert not may_retry(CircuitOpen("peer", 1.0))
    assert not may_retry(NotFound("no"))


@given(
    given_s=st.none() | st.floats(0, 100),
    remaining=st.none() | st.floats(-1, 100),
)
def test_a_call_never_outlives_the_call_it_serves(
    given_s: float | None, remaining: float | None
) -> None:
    try:
        timeout = call_timeout(given_s, remaining, 10.0)
    except DeadlineTooShort:
        assert min(x for x in (given_s, remaining) if x is not None) < FLOOR_S
        return
    assert timeout >= FLOOR_S
    assert remaining is None or timeout <= remaining
    assert given_s is None or timeout <= given_s
