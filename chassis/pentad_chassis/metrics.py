"""What every service counts about its calls, and the endpoint where Prometheus reads it."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from opentelemetry.trace import Span
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from pentad_chassis.config import ConfigInvalid

_BUCKETS = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
)  # fmt: skip

_STATES = {"closed": 0, "half-open": 1, "open": 2}


class Metrics:
    """One service's numbers. Labels are methods, codes and peers: bounded, and never an id."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        """Where a service adds the numbers of its own domain."""

        # Finding a label's numbers costs as much as counting; methods and codes are few.
        self._served = cache(
            self._histogram(
                "rpc_server_call_duration_seconds",
                "Calls answered, by method and status code.",
                ("rpc_method", "rpc_response_status_code"),
            ).labels
        )
        self._called = cache(
            self._histogram(
                "rpc_client_call_duration_seconds",
                "Attempts at calls to a peer, by method and status code.",
                ("peer", "rpc_method", "rpc_response_status_code"),
            ).labels
        )
        self.in_flight = self._gauge("pentad_in_flight", "Calls in hand.", ("kind",))
        self.shed = self._counter("pentad_shed", "Calls refused for want of room.", ("kind",))
        self.retries = self._counter("pentad_retries", "Calls tried again.", ("peer",))
        self.retry_tokens = self._gauge(
            "pentad_retry_tokens", "Budget for retries: below half there are none.", ("peer",)
        )
        self._breaker = self._gauge(
            "pentad_breaker_state", "0 closed, 1 half open, 2 open.", ("peer",)
        )
        self._breaker_changes = self._counter(
            "pentad_breaker_changes", "Times a breaker entered a state.", ("peer", "state")
        )

    def served(self, span: Span, method: str, code: str, seconds: float) -> None:
        """Count an answered call."""
        self._served(method, code).observe(seconds, _exemplar(span))

    def called(self, span: Span, peer: str, method: str, code: str, seconds: float) -> None:
        """Count an attempt at a call."""
        self._called(peer, method, code).observe(seconds, _exemplar(span))

    def breaker_entered(self, peer: str, state: str) -> None:
        """Count a change of a breaker."""
        self._breaker.labels(peer).set(_STATES[state])
        self._breaker_changes.labels(peer, state).inc()

    def _histogram(self, name: str, text: str, labels: tuple[str, ...]) -> Histogram:
        return Histogram(name, text, labels, registry=self.registry, buckets=_BUCKETS)

    def _gauge(self, name: str, text: str, labels: tuple[str, ...]) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    def _counter(self, name: str, text: str, labels: tuple[str, ...]) -> Counter:
        return Counter(name, text, labels, registry=self.registry)


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


def _exemplar(span: Span) -> dict[str, str] | None:
    context = span.get_span_context()
    return {"trace_id": f"{context.trace_id:032x}"} if context.trace_flags.sampled else None
