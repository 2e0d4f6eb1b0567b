"""What every service counts about its calls, and the endpoint where Prometheus reads it."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.trace import Span
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from pentad_chassis.config import ConfigInvalid

BUCKETS_S = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
)  # fmt: skip

LONG_BUCKETS_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600)
"""For what takes as long as models and tools do."""

WORDS_MAX = 50
_EXAMPLE_EVERY_S = 1.0

Labels = tuple[str, ...]

_STATES = {"closed": 0, "half-open": 1, "open": 2}


class Metrics:
    """One service's numbers. Labels are methods, codes and peers: bounded, and never an id."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        """Where a service adds the numbers of its own domain."""

        self._served = self.timings(
            "rpc_server_call_duration_seconds",
            "Calls answered, by method and status code.",
            ("rpc_method", "rpc_response_status_code"),
        )
        self._called = self.timings(
            "rpc_client_call_duration_seconds",
            "Attempts at calls to a peer, by method and status code.",
            ("peer", "rpc_method", "rpc_response_status_code"),
        )
        self.in_flight = self.gauge("pentad_in_flight", "Calls in hand.", ("kind",))
        self.shed = self.counter("pentad_shed", "Calls refused for want of room.", ("kind",))
        self.retries = self.counter("pentad_retries", "Calls tried again.", ("peer",))
        self.retry_tokens = self.gauge(
            "pentad_retry_tokens", "Budget for retries: below half there are none.", ("peer",)
        )
        self.links = self.gauge("pentad_links", "Links to replicas of a peer.", ("peer",))
        self._breaker = self.gauge(
            "pentad_breaker_state", "0 closed, 1 half open, 2 open.", ("peer",)
        )
        self._breaker_changes = self.counter(
            "pentad_breaker_changes", "Times a breaker entered a state.", ("peer", "state")
        )

    def served(self, span: Span, method: str, code: str, seconds: float) -> None:
        """Count an answered call."""
        self._served.observe(seconds, (method, code), span)

    def called(self, span: Span, peer: str, method: str, code: str, seconds: float) -> None:
        """Count an attempt at a call."""
        self._called.observe(seconds, (peer, method, code), span)

    def breaker_entered(self, peer: str, state: str) -> None:
        """Count a change of a breaker."""
        self._breaker.labels(peer).set(_STATES[state])
        self._breaker_changes.labels(peer, state).inc()

    def counts(self, name: str, text: str, labels: Labels) -> "Counts":
        """Add something that only grows, and does so often."""
        return Counts(self.counter(name, text, labels))

    def timings(
        self, name: str, text: str, labels: Labels = (), buckets: Sequence[float] = BUCKETS_S
    ) -> "Timings":
        """Add durations in seconds."""
        return Timings(self.histogram(name, text, labels, buckets))

    def histogram(
        self, name: str, text: str, labels: Labels, buckets: Sequence[float]
    ) -> Histogram:
        """Add sizes of any kind."""
        return Histogram(name, text, labels, registry=self.registry, buckets=buckets)

    def gauge(self, name: str, text: str, labels: Labels = ()) -> Gauge:
        """Add something that goes up and down."""
        return Gauge(name, text, labels, registry=self.registry)

    def counter(self, name: str, text: str, labels: Labels = ()) -> Counter:
        """Add something that only grows; Prometheus sees it as `NAME_total`."""
        return Counter(name, text, labels, registry=self.registry)


class Counts:
    """Counts by labels; what belongs to labels is looked up once, for that costs as much again."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._kinds: dict[Labels, Callable[[], None]] = {}

    def add(self, *labels: str) -> None:
        """Count one."""
        inc = self._kinds.get(labels)
        if inc is None:
            inc = self._kinds[labels] = self._counter.labels(*labels).inc
        inc()


class Timings:
    """Durations by labels; now and then one carries the trace id of an example.

    An example a second of each kind, and every one slower than the last: more would only be
    overwritten before they are read, and each costs as much as the observation itself.
    """

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram
        self._kinds: dict[tuple[str, ...], _Kind] = {}

    def observe(
        self, seconds: float, labels: tuple[str, ...] = (), span: Span | None = None
    ) -> None:
        """Count something that took so long, within `span` or else the current one."""
        kind = self._kinds.get(labels)
        if kind is None:
            # Looked up once: finding what belongs to labels costs as much as counting.
            child = self._histogram.labels(*labels) if labels else self._histogram
            kind = self._kinds[labels] = _Kind(child)
        now = time.monotonic()
        if now < kind.due_s and seconds <= kind.slowest_s:
            kind.observe(seconds)
            return
        context = (span or trace.get_current_span()).get_span_context()
        if not context.trace_flags.sampled:
            kind.observe(seconds)
            return
        kind.due_s, kind.slowest_s = now + _EXAMPLE_EVERY_S, seconds
        kind.observe(seconds, {"trace_id": f"{context.trace_id:032x}"})


class _Kind:
    __slots__ = ("due_s", "observe", "slowest_s")

    def __init__(self, child: Histogram) -> None:
        self.observe = child.observe
        self.due_s = 0.0
        self.slowest_s = 0.0


class Vocabulary:
    """The values a label may take: the first that come, up to a number; later ones are `other`.

    Names that users choose can be as many as they like, and each is a series of its own for ever.
    """

    def __init__(self, most: int = WORDS_MAX) -> None:
        self._most = most
        self._words: set[str] = set()

    def word(self, value: str) -> str:
        """Return the value, or what stands in its place; nothing where no value is told apart."""
        if value in self._words:
            return value
        if len(self._words) < self._most:
            self._words.add(value)
            return value
        return "other" if self._most else ""


@contextmanager
def exposed(metrics: Metrics, address: str) -> Iterator[None]:
    """Answer Prometheus at `http://ADDRESS/metrics` while the block runs; an empty address, never.

    In OpenMetrics format observations carry the trace id of an example.
    """
    if not address:
        yield
        return
    host, _, port = address.rpartition(":")
    try:
        server, thread = start_http_server(int(port), host.strip("[]"), registry=metrics.registry)
    except (OSError, ValueError) as error:
        raise ConfigInvalid((f"METRICS_ADDRESS: cannot listen on {address!r}: {error}",)) from None
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
