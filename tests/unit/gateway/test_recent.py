"""What was looked up a moment ago."""

from pentad_chassis.clock import FakeClock
from pentad_gateway.recent import Recent


def test_a_value_is_held_for_its_time() -> None:
    clock = FakeClock()
    recent: Recent[int] = Recent(clock, hold_s=5, most=2)
    recent.put("a", 1)

    clock.advance(4.9)
    assert recent.get("a") == 1
    clock.advance(0.1)
    assert recent.get("a") is None


def test_the_oldest_value_makes_room() -> None:
    recent: Recent[int] = Recent(FakeClock(), hold_s=5, most=2)
    for number, key in enumerate("abac"):
        recent.put(key, number)

    assert [recent.get(key) for key in "abc"] == [2, None, 3]
