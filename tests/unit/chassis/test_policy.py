import pytest
from hypothesis import given
from hypothesis import strategies as st

from pentad_chassis.clock import FakeClock
from pentad_chassis.errors import CircuitOpen, DeadlineTooShort, NotFound, Unavailable
from pentad_chassis.policy import (
    FLOOR_S,
    Breaker,
    Outcome,
    RetryBudget,
    call_timeout,
    may_retry,
    outcome_of,
)


def tripped(clock: FakeClock) -> Breaker:
    breaker = Breaker("peer", clock, failures=3, reset_s=2.0)
    for _ in range(3):
        breaker.settle(breaker.permit(), Outcome.FAILED)
    return breaker


def test_failures_in_a_row_open_the_circuit_and_say_when_to_come_back() -> None:
    clock = FakeClock()
    breaker = tripped(clock)
    clock.advance(0.5)

    with pytest.raises(CircuitOpen) as caught:
        breaker.permit()

    assert caught.value.retry_after_s == pytest.approx(1.5)
    assert breaker.state == "open"


def test_a_success_between_failures_keeps_the_circuit_closed() -> None:
    breaker = Breaker("peer", FakeClock(), failures=3)
    for outcome in (Outcome.FAILED, Outcome.FAILED, Outcome.OK, Outcome.FAILED, Outcome.FAILED):
        breaker.settle(breaker.permit(), outcome)

    assert breaker.state == "closed"


def test_half_open_admits_one_probe_whose_success_closes() -> None:
    clock = FakeClock()
    breaker = tripped(clock)
    clock.advance(2.0)
    probe = breaker.permit()

    with pytest.raises(CircuitOpen):
        breaker.permit()

    breaker.settle(probe, Outcome.OK)
    assert breaker.state == "closed"


def test_a_failed_probe_opens_for_another_period() -> None:
    clock = FakeClock()
    breaker = tripped(clock)
    clock.advance(2.0)
    breaker.settle(breaker.permit(), Outcome.FAILED)

    with pytest.raises(CircuitOpen):
        breaker.permit()


def test_a_cancelled_probe_makes_room_for_the_next_one() -> None:
    clock = FakeClock()
    breaker = tripped(clock)
    clock.advance(2.0)
    breaker.settle(breaker.permit(), Outcome.NEUTRAL)

    assert breaker.permit() is not None
    assert breaker.state == "half-open"


def test_a_success_that_began_before_the_circuit_opened_does_not_close_it() -> None:
    clock = FakeClock()
    breaker = Breaker("peer", clock, failures=1)
    slow = breaker.permit()
    breaker.settle(breaker.permit(), Outcome.FAILED)
    breaker.settle(slow, Outcome.OK)

    assert breaker.state == "open"


def test_a_refusal_with_a_reason_shows_a_healthy_peer() -> None:
    assert outcome_of(NotFound("no such run")) is Outcome.OK
    assert outcome_of(Unavailable("gone")) is Outcome.FAILED
    assert outcome_of(KeyError()) is Outcome.NEUTRAL


def test_retries_stop_when_the_budget_is_spent_and_come_back_with_successes() -> None:
    budget = RetryBudget()
    while budget.allows():
        budget.failed()
    for _ in range(50):
        budget.succeeded()

    assert budget.allows()


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
