"""What surrounds every handler of every service: trace → log → errors → authenticate → deadline."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
from opentelemetry import context as otel
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind

from pentad_chassis import calls
from pentad_chassis.admission import Admission
from pentad_chassis.calls import Caller
from pentad_chassis.errors import DeadlineExceeded, Internal, ServiceError
from pentad_chassis.policy import trim
from pentad_chassis.semconv import RPC_METHOD, RPC_RESPONSE_STATUS_CODE, RPC_SYSTEM_NAME
from pentad_chassis.status import to_grpc
from pentad_chassis.telemetry import Telemetry, extract, fail

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]
else:
    Context = grpc.aio.ServicerContext  # not subscriptable at run time

Authenticate = Callable[[str, Mapping[str, str]], Awaitable[Caller]]

_END = object()


class Handling:
    """Surrounds handlers."""

    def __init__(
        self, telemetry: Telemetry, admission: Admission, authenticate: Authenticate | None
    ) -> None:
        self._telemetry = telemetry
        self._admission = admission
        self._authenticate = authenticate

    def surround(self, method: str, handler: Any) -> Any:
        """Return the handler of `/package.Service/Method` with all that surrounds it."""
        codec = (handler.request_deserializer, handler.response_serializer)
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                self._stream(method, handler.unary_stream), *codec
            )
        return grpc.unary_unary_rpc_method_handler(self._unary(method, handler.unary_unary), *codec)

    def _unary(self, method: str, behaviour: Any) -> Any:
        kind = self._admission.kind_of(method, streams=False)

        async def handle(request: Any, context: Any) -> Any:
            async with self._serving(method, kind, context) as until:
                with self._admission.parking(kind):
                    return await self._in_time(behaviour(request, context), until)

        return handle

    def _stream(self, method: str, behaviour: Any) -> Any:
        kind = self._admission.kind_of(method, streams=True)

        async def handle(request: Any, context: Any) -> AsyncGenerator[Any, None]:
            async with (
                self._serving(method, kind, context) as until,
                aclosing(behaviour(request, context)) as responses,
            ):
                while True:
                    with self._admission.parking(kind):
                        response = await self._in_time(anext(responses, _END), until)
                    if response is _END:
                        return
                    yield response

        return handle

    async def _in_time(self, work: Awaitable[Any], until: float | None) -> Any:
        """Return what `work` returns, or raise DeadlineExceeded while the caller still listens.

        Whatever a handler waits for, a caller that hears nothing would take the peer for ill.
        """
        limit = asyncio.timeout_at(until)
        try:
            async with limit:
                return await work
        except TimeoutError:
            if not limit.expired():
                raise
            service = self._telemetry.service
            raise DeadlineExceeded(f"the {service} service ran out of time") from None

    @asynccontextmanager
    async def _serving(self, method: str, kind: str, context: Any) -> AsyncIterator[float | None]:
        """Surround one call; yield the time, by the loop's clock, at which it has to end.

        It has a task, and so a context, of its own.
        """
        begun = time.monotonic()
        metadata = dict(context.invocation_metadata() or ())
        span = self._start_span(method, metadata)
        error: ServiceError | None = None
        code = "CANCELLED"
        try:
            with self._admission.admitted(method, kind):
                until = _begin(context.time_remaining())
                calls.serve(self._admission.is_draining)
                if self._authenticate is not None:
                    calls.identify(await self._authenticate(method, metadata))
                yield until
            code = "OK"
        except ServiceError as raised:
            error = raised
        except Exception:
            self._telemetry.log.exception("call failed by a defect", method=method)
            error = Internal("an internal error; the log has it under the trace id")
        finally:
            if error is not None:
                fail(span, error.reason)
                code = error.code.name
            span.set_attribute(RPC_RESPONSE_STATUS_CODE, code)
            span.end()
            self._telemetry.metrics.served(span, method[1:], code, time.monotonic() - begun)
        if error is not None:
            await self._abort(context, method, error)

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


def _begin(remaining: float | None) -> float | None:
    """Begin a call; return when it has to end.

    Calls of its own have to end a moment before, for their breakers are to learn of it.
    """
    if remaining is None:
        calls.begin(None)
        return None
    taken = trim(remaining)
    calls.begin(remaining - taken)
    return asyncio.get_running_loop().time() + remaining - taken / 2
