"""Which traces are kept where nobody says: all, but for those of a crowd."""

import time
from collections.abc import Callable, Sequence

from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState
from opentelemetry.util.types import Attributes
from typing_extensions import override

PER_S = 50.0
"""Traces of one kind of call that are kept in a second, on average."""

_AT_ONCE = 500.0
_KINDS_MAX = 256
"""Kinds of calls told apart; names are those of methods, unless a caller makes some up."""


class RateLimited(Sampler):
    """Keeps traces up to a rate, for each name of a first span by itself.

    Whoever polls takes nothing from those who begin runs. Spans cost every hop and the store that
    keeps them, and a part of a crowd shows what all of it does.
    """

    def __init__(self, per_s: float = PER_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_s
        self._clock = clock
        self._left: dict[str, tuple[float, float]] = {}
        """By name: how many more at once, as of when."""

    @override
    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        if self._take(name):
            return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes)
        return SamplingResult(Decision.DROP)

    @override
    def get_description(self) -> str:
        return f"RateLimited{{{self._per_s:g}}}"

    def _take(self, name: str) -> bool:
        now = self._clock()
        if name not in self._left and len(self._left) >= _KINDS_MAX:
            name = ""
        left, since = self._left.get(name, (_AT_ONCE, now))
        left = min(_AT_ONCE, left + (now - since) * self._per_s)
        kept = left >= 1
        self._left[name] = (left - kept, now)
        return kept


def rate_limited() -> Sampler:
    """Return what decides for a trace that begins here; one that began elsewhere is decided."""
    return ParentBased(RateLimited())
