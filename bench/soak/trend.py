"""Whether a series grows, or only goes up and down."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

_SURE = 2.0
"""Standard errors on either side."""

_LITTLE = 0.01
"""Growth over what was looked at, as a part of the mean, that is none: a page here and there."""

_FEWEST = 4


@dataclass(frozen=True, slots=True)
class Trend:
    """A straight line through a series."""

    mean: float
    per_hour: float
    noise_per_hour: float
    """The slope may be off by so much."""
    over: float
    """What the line gains from the first value to the last."""

    def grows(self, few: float) -> bool:
        """Tell whether it does, beyond all doubt and by more than a few of what is measured."""
        surely = self.per_hour > self.noise_per_hour
        return surely and self.over > max(few, _LITTLE * abs(self.mean))


def trend(at_s: Sequence[float], values: Sequence[float]) -> Trend:
    """Return the trend of values at these times.

    What a process holds at a moment is much like what it held a moment before, so that many looks
    are fewer independent ones; the noise is wider by as much as neighbours resemble each other.
    """
    mean = statistics.fmean(values)
    if len(values) < _FEWEST:
        return Trend(mean, 0.0, math.inf, 0.0)
    slope, intercept = statistics.linear_regression(at_s, values)
    rest = [value - (intercept + slope * at) for at, value in zip(at_s, values, strict=True)]
    spread = sum((at - statistics.fmean(at_s)) ** 2 for at in at_s)
    error = math.sqrt(sum(r * r for r in rest) / (len(rest) - 2) / spread)
    error *= math.sqrt((1 + _likeness(rest)) / (1 - _likeness(rest)))
    over = slope * (at_s[-1] - at_s[0])
    return Trend(mean, 3600 * slope, 3600 * _SURE * error, over)


def _likeness(rest: Sequence[float]) -> float:
    """Return how much a value tells of the next, from 0 to nearly 1."""
    squares = sum(each * each for each in rest)
    products = sum(a * b for a, b in pairwise(rest))
    return min(max(products / squares, 0.0), 0.98) if squares else 0.0
