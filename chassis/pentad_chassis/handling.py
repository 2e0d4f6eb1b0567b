"""What surrounds every handler: admission → trace → log → errors → authenticate → deadline."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
from opentelemetry import context as otel
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind

from pentad_chassis import calls
from pentad_chassis.admission import Admission
from pentad_chassis.calls import Caller
from pentad_chassis.errors import Internal, ServiceError
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


@dataclass(frozen=True, slots=True)
class Handling:
    """Surrounds the handlers of one server."""

    telemetry: Telemetry
    admission: Admission
    authenticate: Authenticate | None

    def surround(self, method: str, handler: Any) -> Any:
        """Return the handler of `/package.Service/Method` with all that surrounds it."""
        codec = (handler.request_deserializer, handler.response_serializer)
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                self._stream(method, handler.unary_stream), *codec
            )
        return grpc.unary_unary_rpc_method_handler(self._unary(method, handler.unary_unary), *codec)

    def _unary(self, method: str, behaviour: Any) -> Any:
        kind = self.admission.kind_of(method, streams=False)
        behave = self.admission.gated(method, behaviour)

        async def handle(request: Any, context: Any) -> Any:
            call = _Call(self, method, kind)
            try:
                until = await call.begin(context)
                with self.admission.waiting(kind, until):
                    response = await behave(request, context)
            except BaseException as error:
                await call.fail(error, context)
                raise
            call.end("OK")
            return response

        return handle

    def _stream(self, method: str, behaviour: Any) -> Any:
        kind = self.admission.kind_of(method, streams=True)

        async def handle(request: Any, context: Any) -> AsyncGenerator[Any, None]:
            call = _Call(self, method, kind)
            try:
                until = await call.begin(context)
                async with aclosing(behaviour(request, context)) as responses:
                    while True:
                        with self.admission.waiting(kind, until):
                            response = await anext(responses, _END)
                        if response is _END:
                            break
                        yield response
            except BaseException as error:
                await call.fail(error, context)
                raise
            call.end("OK")

        return handle


class _Call:
    """One call, from its arrival to its answer. It has a task, and so a context, of its own."""

    __slots__ = ("_admitted", "_begun", "_handling", "_kind", "_method", "_span")

    def __init__(self, handling: Handling, method: str, kind: str) -> None:
        self._begun = time.monotonic()
        self._handling = handling
        self._method = method
        self._kind = kind
        self._admitted = False
        self._span: Span = trace.INVALID_SPAN

    async def begin(self, context: Any) -> float | None:
        """Let the call in; return when it has to end, by the loop's clock."""
        admission, authenticate = self._handling.admission, self._handling.authenticate
        admission.admit(self._method, self._kind)  # a refusal costs the least before all else
        self._admitted = True
        metadata = dict(context.invocation_metadata() or ())
        self._start_span(metadata.get("traceparent", ""))
        until = _begin(context.time_remaining())
        calls.serve(admission.is_draining)
        if authenticate is not None:
            calls.identify(await authenticate(self._method, metadata))
        return until

    def _start_span(self, parent: str) -> None:
        # A trace begins at the public edge, or with the caller: an internal call without one
        # is background work, and every long poll of it would be a trace of its own.
        if not parent and self._handling.authenticate is None:
            return
        context = extract(parent) if parent else otel.Context()
        attributes = {RPC_SYSTEM_NAME: "grpc", RPC_METHOD: self._method[1:]}
        self._span = self._handling.telemetry.tracer.start_span(
            self._method[1:], context, SpanKind.SERVER, attributes
        )
        otel.attach(trace.set_span_in_context(self._span, context))

    async def fail(self, raised: BaseException, context: Any) -> None:
        """End the call with an error, and tell its caller; a caller that left is told nothing."""
        if not isinstance(raised, Exception):
            self.end("CANCELLED")
            return
        telemetry, error = self._handling.telemetry, raised
        if not isinstance(error, ServiceError):
            telemetry.log.error("call failed by a defect", method=self._method, exc_info=error)
            error = Internal("an internal error; the log has it under the trace id")
        if self._admitted:
            self._handling.admission.refused(self._method, error)
        fail(self._span, error.reason)
        self.end(error.code.name)
        telemetry.log.debug("call refused", method=self._method, reason=error.reason)
        code, message, trailing = to_grpc(error)
        await context.abort(code, message, trailing)

    def end(self, code: str) -> None:
        """Let go of all that the call holds, and count it."""
        handling, span = self._handling, self._span
        if self._admitted:
            handling.admission.release(self._kind)
        if span.is_recording():
            span.set_attribute(RPC_RESPONSE_STATUS_CODE, code)
            span.end()
        took = time.monotonic() - self._begun
        handling.telemetry.metrics.served(span, self._method[1:], code, took)


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
