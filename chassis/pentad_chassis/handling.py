"""What surrounds every handler of every service: trace → log → errors → authenticate → deadline."""

import asyncio
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    Mapping,
)
from contextlib import aclosing, asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
from opentelemetry import context as otel
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind

from pentad_chassis import calls
from pentad_chassis.calls import Caller
from pentad_chassis.config import Settings
from pentad_chassis.errors import Internal, ResourceExhausted, ServiceError, Unavailable
from pentad_chassis.policy import TRIM_S
from pentad_chassis.semconv import RPC_METHOD, RPC_SYSTEM_NAME
from pentad_chassis.status import to_grpc
from pentad_chassis.telemetry import Telemetry, extract, fail

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]
else:
    Context = grpc.aio.ServicerContext  # not subscriptable at run time

Authenticate = Callable[[str, Mapping[str, str]], Awaitable[Caller]]

_UNARY, _STREAM = "unary", "stream"
_END = object()


class Overloaded(ResourceExhausted):
    """The server has as many calls as it can hold."""

    reason = "OVERLOADED"

    def __init__(self, service: str) -> None:
        super().__init__(f"the {service} service has too many calls in hand", service=service)
        self.retry_after_s = 1.0


class Draining(Unavailable):
    """The server is stopping and ends the calls that only wait."""

    reason = "DRAINING"

    def __init__(self, service: str) -> None:
        super().__init__(
            f"the {service} service is stopping; another replica answers", service=service
        )


class Handling:
    """Surrounds handlers, and counts the calls in hand."""

    def __init__(
        self,
        config: Settings,
        telemetry: Telemetry,
        authenticate: Authenticate | None,
        parked: frozenset[str],
    ) -> None:
        self._telemetry = telemetry
        self._authenticate = authenticate
        self._parks = parked
        self._parked: set[asyncio.Task[Any]] = set()
        self._room = {_UNARY: config.max_in_flight, _STREAM: config.max_streams}
        self._in_hand = {_UNARY: 0, _STREAM: 0}
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = False
        for kind in (_UNARY, _STREAM):
            gauge = telemetry.metrics.in_flight.labels(kind)
            gauge.set_function(partial(self._in_hand.__getitem__, kind))

    def surround(self, method: str, handler: Any) -> Any:
        """Return the handler of `/package.Service/Method` with all that surrounds it."""
        codec = (handler.request_deserializer, handler.response_serializer)
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                self._stream(method, handler.unary_stream), *codec
            )
        return grpc.unary_unary_rpc_method_handler(self._unary(method, handler.unary_unary), *codec)

    async def drain(self, grace_s: float) -> None:
        """End the calls that only wait, and give the others `grace_s` seconds to finish."""
        self._draining = True
        for task in self._parked:
            task.cancel()
        try:
            async with asyncio.timeout(grace_s):
                await self._idle.wait()
        except TimeoutError:
            self._telemetry.log.warning("calls cut off by the stop", in_hand=dict(self._in_hand))

    def _unary(self, method: str, behaviour: Any) -> Any:
        async def handle(request: Any, context: Any) -> Any:
            async with self._serving(method, _UNARY, context):
                with self._parking(method):
                    return await behaviour(request, context)

        return handle

    def _stream(self, method: str, behaviour: Any) -> Any:
        async def handle(request: Any, context: Any) -> AsyncGenerator[Any, None]:
            async with (
                self._serving(method, _STREAM, context),
                aclosing(behaviour(request, context)) as responses,
            ):
                while True:
                    with self._parking(method):
                        response = await anext(responses, _END)
                    if response is _END:
                        return
                    yield response

        return handle

    @asynccontextmanager
    async def _serving(self, method: str, kind: str, context: Any) -> AsyncIterator[None]:
        """Surround one call; it has a task, and so a context, of its own."""
        begun = time.monotonic()
        metadata = dict(context.invocation_metadata() or ())
        span = self._start_span(method, metadata)
        error: ServiceError | None = None
        try:
            with self._in_hand_as(kind):
                if self._authenticate is not None:
                    calls.identify(await self._authenticate(method, metadata))
                remaining = context.time_remaining()
                calls.begin(None if remaining is None else remaining - TRIM_S)
                yield
        except ServiceError as raised:
            error = raised
        except Exception:
            self._telemetry.log.exception("call failed by a defect", method=method)
            error = Internal("an internal error; the log has it under the trace id")
        finally:
            if error is not None:
                fail(span, error.reason)
            span.end()
            code = error.code.name if error else "OK"
            self._telemetry.metrics.served(span, method[1:], code, time.monotonic() - begun)
        if error is not None:
            await self._abort(context, method, error)

    @contextmanager
    def _in_hand_as(self, kind: str) -> Iterator[None]:
        if self._in_hand[kind] >= self._room[kind]:
            self._telemetry.metrics.shed.labels(kind).inc()
            raise Overloaded(self._telemetry.service)
        self._in_hand[kind] += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._in_hand[kind] -= 1
            if not any(self._in_hand.values()):
                self._idle.set()

    @contextmanager
    def _parking(self, method: str) -> Iterator[None]:
        """Let a stop end the wait inside the block, and nothing that is done outside of it."""
        if method not in self._parks:
            yield
            return
        if self._draining:
            raise Draining(self._telemetry.service)
        task = asyncio.current_task()
        assert task is not None, "a handler runs in a task"
        self._parked.add(task)
        try:
            yield
        except asyncio.CancelledError:
            if not self._draining:
                raise
            task.uncancel()
            raise Draining(self._telemetry.service) from None
        finally:
            self._parked.discard(task)

    def _start_span(self, method: str, metadata: Mapping[str, str]) -> Span:
        # A trace begins at the public edge, or with the caller: an internal call without one
        # is background work, and every long poll of it would be a trace of its own.
        parent = metadata.get("traceparent", "")
        if not parent and self._authenticate is None:
            return trace.INVALID_SPAN
        context = extract(parent) if parent else otel.Context()
        span = self._telemetry.tracer.start_span(
            method[1:],
            context,
            SpanKind.SERVER,
            {RPC_SYSTEM_NAME: "grpc", RPC_METHOD: method[1:]},
        )
        otel.attach(trace.set_span_in_context(span, context))
        return span

    async def _abort(self, context: Any, method: str, error: ServiceError) -> None:
        self._telemetry.log.debug("call refused", method=method, reason=error.reason)
        code, message, trailing = to_grpc(error)
        await context.abort(code, message, trailing)
