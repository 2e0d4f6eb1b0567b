"""Spans under OpenTelemetry's API, at a fraction of what its SDK asks for one.

A call of Pentad's makes two spans, and the SDK's cost as much as the call itself: locks, bounded
and cleaned containers, and a copy at the end. Here a span is a few slots; what the exporters expect
of it is made when it is exported. Sampling and limits are the SDK's own.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from random import getrandbits
from types import TracebackType

from opentelemetry import trace
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanLimits
from opentelemetry.sdk.trace.sampling import DEFAULT_ON, Decision, Sampler, SamplingResult
from opentelemetry.sdk.util import BoundedList
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
)
from opentelemetry.util._decorator import _agnosticcontextmanager
from opentelemetry.util.types import AnyValue, Attributes
from typing_extensions import override

_SAMPLED, _RANDOM = TraceFlags.SAMPLED, TraceFlags.RANDOM_TRACE_ID
_FLAGS = tuple(TraceFlags(bits) for bits in range(4))
_KNOWN_FLAGS = _SAMPLED | _RANDOM
_SCOPE = InstrumentationScope("pentad", "")


def _describe(sampler: Sampler) -> str:
    return str(sampler.get_description())


_PARENT_DECIDES = _describe(DEFAULT_ON).partition(",")[2]
"""How every sampler describes itself that leaves a span with a parent to its parent's decision."""

_UNSET = Status(StatusCode.UNSET)
_FAILED = Status(StatusCode.ERROR)
_NO_STATE = TraceState.get_default()
_MANY = 128
"""Events and links of a span at most, as in the SDK by default."""


class RecordingSpan(Span):
    """A span that is kept. Once ended it does not change.

    An exception leaves its type, and a status no description: their words may be a user's.
    """

    __slots__ = (
        "_ended", "attributes", "context", "end_time", "events", "kind", "links", "name", "parent",
        "start_time", "status",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        kind: SpanKind,
        attributes: dict[str, AnyValue],
        ended: Callable[["RecordingSpan"], None],
    ) -> None:
        self.name = name
        self.context = context
        self.parent = parent
        self.kind = kind
        self.attributes = attributes
        self.events: tuple[Event, ...] = ()
        self.links: tuple[Link, ...] = ()
        self.status = _UNSET
        self.start_time = time.time_ns()
        self.end_time: int | None = None
        self._ended = ended

    def get_span_context(self) -> SpanContext:
        return self.context

    def is_recording(self) -> bool:
        return self.end_time is None

    def end(self, end_time: int | None = None) -> None:
        if self.end_time is None:
            self.end_time = time.time_ns() if end_time is None else end_time
            self._ended(self)

    def set_attribute(self, key: str, value: AnyValue) -> None:
        if self.end_time is None:
            self.attributes[key] = value

    def set_attributes(self, attributes: Mapping[str, AnyValue]) -> None:
        if self.end_time is None:
            self.attributes.update(attributes)

    def add_event(
        self, name: str, attributes: Attributes = None, timestamp: int | None = None
    ) -> None:
        if self.end_time is None and len(self.events) < _MANY:
            event = Event(name, BoundedAttributes(attributes=attributes), timestamp)
            self.events = (*self.events, event)

    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        if self.end_time is None and context.is_valid and len(self.links) < _MANY:
            link = Link(context, BoundedAttributes(attributes=attributes))
            self.links = (*self.links, link)

    def update_name(self, name: str) -> None:
        if self.end_time is None:
            self.name = name

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        code = status.status_code if isinstance(status, Status) else status
        final = self.end_time is not None or self.status.status_code is StatusCode.OK
        if not final and code is not StatusCode.UNSET:
            self.status = _FAILED if code is StatusCode.ERROR else Status(code)

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,  # noqa: FBT001, FBT002 - OpenTelemetry's signature
    ) -> None:
        kind = type(exception)
        qualified = kind.__qualname__
        if kind.__module__ != "builtins":
            qualified = f"{kind.__module__}.{qualified}"
        told = {"exception.type": qualified, "exception.escaped": str(escaped)}
        self.add_event("exception", {**told, **(attributes or {})}, timestamp)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        if exc_val is not None:
            self.record_exception(exc_val, escaped=True)
            self.set_status(StatusCode.ERROR)
        self.end()


class Tracer(trace.Tracer):
    """Makes spans and hands them on when they have ended; without a sampler it makes none."""

    def __init__(self, sampler: Sampler | None, ended: Callable[[RecordingSpan], None]) -> None:
        self._sampler = sampler
        self._ended = ended
        self._parent_decides = sampler is not None and _describe(sampler).endswith(_PARENT_DECIDES)

    @override
    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = (),
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        *,
        span_id: int = 0,
    ) -> Span:
        """Begin a span; `span_id` is for one that others must be able to name."""
        around = trace.get_current_span(context)
        parent = around.get_span_context()
        if self._parent_decides and parent.is_valid:
            # By far the most frequent way, on which nobody needs to be asked.
            if not parent.trace_flags & _SAMPLED:
                return around if type(around) is NonRecordingSpan else NonRecordingSpan(parent)
            flags = _FLAGS[parent.trace_flags & _KNOWN_FLAGS]
            own_id = span_id or _random_id(64)
            own = span_context(parent.trace_id, own_id, flags, parent.trace_state)
        elif self._sampler is None:
            return NonRecordingSpan(parent)
        else:
            trace_id = parent.trace_id if parent.is_valid else _random_id(128)
            result = self._sampler.should_sample(context, trace_id, name, kind, attributes, links)
            own = _context(trace_id, span_id or _random_id(64), parent, result)
            if result.decision is Decision.DROP:
                return NonRecordingSpan(own)
            attributes = result.attributes
        known = dict(attributes) if attributes else {}
        above = parent if parent.is_valid else None
        span = RecordingSpan(name, own, above, kind, known, self._ended)
        if start_time is not None:
            span.start_time = start_time
        for link in links or ():
            span.add_link(link.context, link.attributes)
        return span

    @override
    @_agnosticcontextmanager
    def start_as_current_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = (),
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
    ) -> Iterator[Span]:
        span = self.start_span(name, context, kind, attributes, links, start_time)
        with trace.use_span(span, end_on_exit, record_exception, set_status_on_exception):
            yield span


def span_context(
    trace_id: int,
    span_id: int,
    flags: TraceFlags,
    state: TraceState = _NO_STATE,
    *,
    remote: bool = False,
) -> SpanContext:
    """Return what SpanContext's constructor would of ids that are known to be valid.

    It asks five times as long to look at them, and a call has three.
    """
    return tuple.__new__(SpanContext, (trace_id, span_id, remote, flags, state, True))


def _context(
    trace_id: int, span_id: int, parent: SpanContext, result: SamplingResult
) -> SpanContext:
    random = parent.trace_flags & _RANDOM if parent.is_valid else _RANDOM
    sampled = _SAMPLED if result.decision is Decision.RECORD_AND_SAMPLE else 0
    return SpanContext(trace_id, span_id, False, _FLAGS[random | sampled], result.trace_state)


def _random_id(bits: int) -> int:
    return getrandbits(bits) or 1  # zero stands for no id


def readable(span: RecordingSpan, resource: Resource, limits: SpanLimits) -> ReadableSpan:
    """Return an ended span as the SDK's exporters expect it: cleaned, and within the limits."""
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=resource,
        attributes=BoundedAttributes(
            limits.max_span_attributes,
            span.attributes,
            immutable=True,
            max_value_len=limits.max_span_attribute_length,
        ),
        events=BoundedList.from_seq(limits.max_events, span.events),
        links=BoundedList.from_seq(limits.max_links, span.links),
        kind=span.kind,
        status=span.status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=_SCOPE,
    )
