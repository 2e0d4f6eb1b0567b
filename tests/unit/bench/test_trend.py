"""What counts as growth, and what as going up and down."""

import math

import pytest

from bench.soak.trend import trend

FEW = 1.5
MINUTES = [60.0 * minute for minute in range(60)]
WOBBLE = [(37 * minute * minute) % 101 / 10 - 5 for minute in range(60)]
"""Up and down by five, in no order."""


def test_a_slope_is_told_by_the_hour() -> None:
    found = trend(MINUTES, [70 + at / 360 for at in MINUTES])

    assert found.per_hour == pytest.approx(10.0)
    assert found.noise_per_hour == pytest.approx(0.0, abs=1e-6)
    assert found.grows(FEW)


def test_what_stays_or_shrinks_does_not_grow() -> None:
    assert not trend(MINUTES, [70.0] * 60).grows(FEW)
    assert not trend(MINUTES, [70 - at / 360 for at in MINUTES]).grows(FEW)


def test_noise_around_a_level_is_no_growth() -> None:
    found = trend(MINUTES, [70 + each for each in WOBBLE])

    assert abs(found.per_hour) < found.noise_per_hour
    assert not found.grows(FEW)


def test_growth_is_seen_through_noise() -> None:
    growing = [70 + at / 180 + each / 2 for at, each in zip(MINUTES, WOBBLE, strict=True)]

    assert trend(MINUTES, growing).grows(FEW)


def test_values_like_their_neighbours_say_less_than_as_many_independent_ones() -> None:
    independent = [70 + each for each in WOBBLE]
    alike = [independent[10 * (number // 10)] for number in range(60)]

    assert trend(MINUTES, alike).noise_per_hour > 1.5 * trend(MINUTES, independent).noise_per_hour


def test_one_more_thread_is_no_growth_and_three_are() -> None:
    assert not trend(MINUTES, [10.0] * 30 + [11.0] * 30).grows(FEW)
    assert trend(MINUTES, [10.0 + at / 900 for at in MINUTES]).grows(FEW)


def test_too_few_values_say_nothing() -> None:
    found = trend([0.0, 5.0], [70.0, 90.0])

    assert found.noise_per_hour == math.inf
    assert not found.grows(FEW)
