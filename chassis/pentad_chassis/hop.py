"""What every call to one peer shares: breaker, retry budget, deadline and a span an attempt."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import grpc
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_random_exponential

from pentad_chassis import calls, policy
from pentad_chassis.breaker import Breaker, Outcome, outcome_of
from pentad_chassis.calls import remaining_s
from pentad_chassis.errors import DeadlineExceeded, ServiceError, Unavailable
from pentad_chassis.metadata import Metadata, Pairs
from pentad_chassis.policy import RetryBudget
from pentad_chassis.semconv import RPC_METHOD, RPC_RESPONSE_STATUS_CODE, RPC_SYSTEM_NAME
from pentad_chassis.status import from_grpc
from pentad_chassis.telemetry import Telemetry, fail, traceparent
from pentad_chassis.waits import is_cancelled

_JITTER = wait_random_exponential(multiplier=policy.BACKOFF_S, max=policy.BACKOFF_MAX_S)
_PATIENCE_S = 1.0
"""A call given less time than this that runs out of it says nothing of its peer's health."""


class Hop:
    """The way to one peer."""

    def __init__(
        self, peer: str, breaker: Breaker, telemetry: Telemetry, metadata: Metadata = ()
    ) -> None:
        self._peer = peer
        self._breaker = breaker
        self._telemetry = telemetry
        self._metadata = Pairs(*metadata)
        self._budget = RetryBudget()
        self._retries = telemetry.metrics.retries.labels(peer)
        telemetry.metrics.retry_tokens.labels(peer).set_function(lambda: self._budget.tokens)

    async def unary(
        self, inner: Any, request: Any, timeout: float | None, *, method: str, retryable: bool
    ) -> Any:
        """Return the peer's answer, or raise the ServiceError it sent."""
        deadline = time.monotonic() + policy.call_timeout(
            timeout, remaining_s(), policy.DEFAULT_TIMEOUT_S
        )

        try:
            return await self._attempt(inner, request, deadline, method)
        except ServiceError as error:
            if not (retryable and self._may_retry(error)):
                raise
            failed = error
        return await self._again(
            partial(self._attempt, inner, request, deadline, method), failed, deadline
        )

    async def _attempt(self, inner: Any, request: Any, deadline: float, method: str) -> Any:
        tried = self._begin(method, deadline)
        left = deadline - time.monotonic()
        try:
            response = await inner(request, timeout=left, metadata=tried.metadata)
        except BaseException as error:  # noqa: BLE001 - every end settles the attempt
            raise tried.failed(error) from None
        tried.succeeded()
        return response

    def stream(
        self, inner: Any, request: Any, timeout: float | None, *, method: str, retryable: bool
    ) -> "ResponseStream":
        """Return the peer's answers as a stream, opened when it is first read."""
        deadline = time.monotonic() + policy.call_timeout(
            timeout, remaining_s(), policy.DEFAULT_STREAM_TIMEOUT_S
        )

        def open_call() -> tuple["Attempt", Any]:
            tried = self._begin(method, deadline)
            left = deadline - time.monotonic()
            return tried, inner(request, timeout=left, metadata=tried.metadata)

        async def first(attempt: Callable[[], Awaitable[Any]]) -> Any:
            try:
                return await attempt()
            except ServiceError as error:
                if not (retryable and self._may_retry(error)):
                    raise
                failed = error
            return await self._again(attempt, failed, deadline)

        return ResponseStream(open_call, first)

    def _begin(self, method: str, deadline: float) -> "Attempt":
        generation = self._breaker.permit()
        patient = deadline - time.monotonic() >= _PATIENCE_S
        return Attempt(self, method, generation, self._start_span(method), patient=patient)

    def _start_span(self, method: str) -> Span:
        # Background work, such as a long poll, belongs to no trace and starts none.
        if not trace.get_current_span().get_span_context().is_valid:
            return trace.INVALID_SPAN
        attributes = {RPC_SYSTEM_NAME: "grpc", RPC_METHOD: method[1:]}
        span: Span = self._telemetry.tracer.start_span(
            method[1:], kind=SpanKind.CLIENT, attributes=attributes
        )
        return span

    def _may_retry(self, error: BaseException) -> bool:
        return (
            isinstance(error, ServiceError)
            and policy.may_retry(error)
            and not calls.is_unrepeated()
            and self._budget.allows()
        )

    async def _again(
        self, attempt: Callable[[], Awaitable[Any]], failed: ServiceError, deadline: float
    ) -> Any:
        """Go on after a first attempt that a retry may mend; only such a call meets tenacity."""
        first = [failed]

        async def again() -> Any:
            if first:
                raise first.pop()
            self._retries.inc()
            return await attempt()

        retrying = AsyncRetrying(
            stop=lambda state: (
                stop_after_attempt(policy.ATTEMPTS)(state)
                or time.monotonic() + state.upcoming_sleep > deadline
            ),
            wait=_wait,
            retry=retry_if_exception(self._may_retry),
            reraise=True,
        )
        try:
            return await retrying(again)
        except ServiceError as error:
            error.retried = True
            raise

    def ended(self, method: str, span: Span, code: str, seconds: float) -> None:
        """Count an attempt."""
        self._telemetry.metrics.called(span, self._peer, method[1:], code, seconds)

    def settle(self, generation: int, outcome: Outcome) -> None:
        """Tell the breaker how an attempt went."""
        self._breaker.settle(generation, outcome)

    def succeeded(self) -> None:
        """Tell the retry budget of an answer."""
        self._budget.succeeded()

    def failed(self, error: BaseException) -> None:
        """Tell the retry budget of an error: whoever may be asked again pays for it (gRFC A6)."""
        if isinstance(error, Unavailable | DeadlineExceeded):
            self._budget.failed()

    @property
    def peer(self) -> str:
        """The peer's name."""
        return self._peer

    @property
    def metadata(self) -> Pairs:
        """What goes with every call."""
        return self._metadata


class Attempt:
    """One try of one call; settled once, however it ends."""

    def __init__(
        self, hop: Hop, method: str, generation: int, span: Span, *, patient: bool
    ) -> None:
        self._hop = hop
        self._method = method
        self._begun = time.monotonic()
        self._answered = False
        self._over = False
        self._generation = generation
        self._span = span
        self._patient = patient

    @property
    def metadata(self) -> Pairs:
        """What goes with this attempt: the hop's own, and the trace."""
        own = self._hop.metadata
        if self._span is trace.INVALID_SPAN:
            return own
        return Pairs(*own, ("traceparent", traceparent(self._span)))

    def answered(self) -> None:
        """The peer is there; the call goes on."""
        if not self._answered:
            self._answered = True
            self._hop.settle(self._generation, Outcome.OK)
            self._hop.succeeded()

    def succeeded(self) -> None:
        """The call ended well."""
        self.answered()
        self._ended("OK")

    def failed(self, error: BaseException) -> BaseException:
        """The call ended with `error`; return what its caller is to see."""
        if isinstance(error, grpc.aio.AioRpcError):
            own = asyncio.CancelledError() if is_cancelled() else None
            error = own or from_grpc(error, self._hop.peer)
        if not self._answered:
            # A stream cut later may have met its connection's age; that is no sign of illness.
            hurried = isinstance(error, DeadlineExceeded) and not self._patient
            self._hop.settle(self._generation, Outcome.NEUTRAL if hurried else outcome_of(error))
            self._hop.failed(error)
        fail(self._span, getattr(error, "reason", type(error).__name__))
        self._ended(error.code.name if isinstance(error, ServiceError) else "CANCELLED")
        return error

    def left(self) -> None:
        """The caller lost interest, which says nothing of the peer."""
        if not self._answered:
            self._hop.settle(self._generation, Outcome.NEUTRAL)
        self._ended("CANCELLED")

    def _ended(self, code: str) -> None:
        if self._over:
            return
        self._over = True
        self._hop.ended(self._method, self._span, code, time.monotonic() - self._begun)
        if self._span.is_recording():
            self._span.set_attribute(RPC_RESPONSE_STATUS_CODE, code)
            self._span.end()


class ResponseStream:
    """The answers of a streaming call. It is retried until its first answer, and never after."""

    def __init__(
        self,
        open_call: Callable[[], tuple[Attempt, Any]],
        first: Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]],
    ) -> None:
        self._open_call = open_call
        self._first = first
        self._attempt: Attempt | None = None
        self._call: Any = None

    def __aiter__(self) -> "ResponseStream":
        return self

    async def __anext__(self) -> Any:
        response = await (self._first(self._begin) if self._call is None else self._read())
        if response is grpc.aio.EOF:
            raise StopAsyncIteration
        return response

    async def _begin(self) -> Any:
        self._attempt, self._call = self._open_call()
        return await self._read()

    async def _read(self) -> Any:
        assert self._attempt is not None, "a stream is read after it is opened"
        try:
            response = await self._call.read()
        except BaseException as error:  # noqa: BLE001 - every end settles the attempt
            self._call.cancel()
            raise self._attempt.failed(error) from None
        if response is grpc.aio.EOF:
            self._attempt.succeeded()
        else:
            self._attempt.answered()
        return response

    def cancel(self) -> bool:
        """End the call at the peer, unless it has ended."""
        if self._call is None or self._attempt is None:
            return False
        self._attempt.left()
        return bool(self._call.cancel())


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = getattr(error, "retry_after_s", None) or 0.0
    return max(float(asked), _JITTER(state))
