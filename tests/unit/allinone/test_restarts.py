"""A service that dies is started again, later each time, and not for ever."""

from pentad_allinone.restarts import Restarts
from pentad_chassis.clock import FakeClock


def test_each_restart_waits_longer_and_the_sixth_in_a_minute_is_refused() -> None:
    restarts = Restarts(FakeClock())

    delays = [restarts.next_delay_s() for _ in range(6)]

    assert delays == [0.1, 0.2, 0.4, 0.8, 1.6, None]


def test_a_service_that_stayed_up_is_forgiven() -> None:
    clock = FakeClock()
    restarts = Restarts(clock)
    for _ in range(5):
        restarts.next_delay_s()

    clock.advance(60.0)

    assert restarts.next_delay_s() == 0.1


def test_the_pause_has_a_bound() -> None:
    restarts = Restarts(FakeClock(), most=20)

    assert [restarts.next_delay_s() for _ in range(20)][-1] == 5.0
