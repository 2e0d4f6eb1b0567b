import pytest

from pentad_chassis.breaker import Breaker, BreakerPolicy, Outcome, outcome_of
from pentad_chassis.clock import FakeClock
from pentad_chassis.errors import (
    CircuitOpen,
    DeadlineExceeded,
    NotFound,
    ServiceError,
    Unavailable,
)


class ModelAway(Unavailable):
    reason = "MODEL_UNAVAILABLE"


POLICY = BreakerPolicy(failures=3, reset_s=2.0)


def tripped(clock: FakeClock) -> Breaker:
    breaker = Breaker("peer", clock, POLICY)
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
    breaker = Breaker("peer", FakeClock(), POLICY)
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


def test_a_probe_that_says_nothing_does_not_keep_others_from_trying() -> None:
    clock = FakeClock()
    breaker = tripped(clock)
    clock.advance(2.0)
    breaker.permit()
    clock.advance(1.5)

    with pytest.raises(CircuitOpen) as caught:
        breaker.permit()
    assert caught.value.retry_after_s == pytest.approx(0.5)

    clock.advance(0.5)
    breaker.settle(breaker.permit(), Outcome.OK)
    assert breaker.state == "closed"


def test_a_success_that_began_before_the_circuit_opened_does_not_close_it() -> None:
    clock = FakeClock()
    breaker = Breaker("peer", clock, BreakerPolicy(failures=1))
    slow = breaker.permit()
    breaker.settle(breaker.permit(), Outcome.FAILED)
    breaker.settle(slow, Outcome.OK)

    assert breaker.state == "open"


def test_whatever_a_peer_says_shows_that_it_is_healthy() -> None:
    assert outcome_of(NotFound("no such run")) is Outcome.OK
    assert outcome_of(ModelAway("its provider is away")) is Outcome.OK
    assert outcome_of(Unavailable("its own peer is gone")) is Outcome.OK
    assert outcome_of(DeadlineExceeded("its own peer is silent")) is Outcome.OK
    assert outcome_of(KeyError()) is Outcome.NEUTRAL


@pytest.mark.parametrize("error_type", [Unavailable, DeadlineExceeded])
def test_silence_is_a_failure(error_type: type[ServiceError]) -> None:
    error = error_type("gone")
    error.unsaid = True

    assert outcome_of(error) is Outcome.FAILED


def settle(breaker: Breaker, *outcomes: Outcome) -> None:
    for outcome in outcomes:
        breaker.settle(breaker.permit(), outcome)


def test_a_rate_of_failures_opens_the_circuit_though_none_come_in_a_row() -> None:
    breaker = Breaker("peer", FakeClock(), BreakerPolicy(failures=100, calls_min=20))
    settle(breaker, *[Outcome.OK, Outcome.FAILED] * 9, Outcome.OK)
    assert breaker.state == "closed"

    settle(breaker, Outcome.FAILED)

    assert breaker.state == "open"


def test_failures_that_left_the_window_do_not_count() -> None:
    clock = FakeClock()
    breaker = Breaker("peer", clock, BreakerPolicy(failures=100, calls_min=20, window_s=10))
    settle(breaker, *[Outcome.OK, Outcome.FAILED] * 9)
    clock.advance(11)
    settle(breaker, Outcome.OK, Outcome.FAILED)

    assert breaker.state == "closed"


def test_every_change_is_told() -> None:
    clock = FakeClock()
    told: list[str] = []
    breaker = Breaker("peer", clock, POLICY, told.append)
    settle(breaker, *[Outcome.FAILED] * 3)
    clock.advance(2.0)
    settle(breaker, Outcome.FAILED)
    clock.advance(2.0)
    settle(breaker, Outcome.OK)

    assert told == ["open", "half-open", "open", "half-open", "closed"]
