"""What surrounds every handler of every service: trace → log → errors → authenticate → deadline."""

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
from pentad_chassis.errors import Internal, ServiceError
from pentad_chassis.policy import TRIM_S
from pentad_chassis.semconv import RPC_METHOD, RPC_SYSTEM_NAME
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
            async with self._serving(method, kind, context):
                with self._admission.parking(kind):
                    return await behaviour(request, context)

        return handle

    def _stream(self, method: str, behaviour: Any) -> Any:
        kind = self._admission.kind_of(method, streams=True)

        async def handle(request: Any, context: Any) -> AsyncGenerator[Any, None]:
            async with (
                self._serving(method, kind, context),
                aclosing(behaviour(request, context)) as responses,
            ):
                while True:
                    with self._admission.parking(kind):
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
            with self._admission.admitted(method, kind):
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
