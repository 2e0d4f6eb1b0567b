"""Our spans against the SDK's: what an exporter sends of the two is the same."""

import itertools
from collections.abc import Callable, Iterator, Sequence

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Sent
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    DEFAULT_OFF,
    DEFAULT_ON,
    AlwaysRecordSampler,
    ParentBased,
    ParentBasedTraceIdRatio,
    Sampler,
    TraceIdRatioBased,
)
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
)
from opentelemetry.util.types import Attributes

from pentad_chassis.tracer import RecordingSpan, Tracer, readable, span_context

RESOURCE = Resource({"service.name": "pentad-state"})
AbstractTracer = trace.Tracer


def remote(flags: int, state: TraceState | None = None) -> Context:
    context = SpanContext(0xA1, 0xB2, True, TraceFlags(flags), state)
    return trace.set_span_in_context(NonRecordingSpan(context), Context())


PARENTS = {
    "no parent": Context(),
    "sampled": remote(1),
    "sampled and random": remote(3),
    "not sampled": remote(0),
    "with a state": remote(1, TraceState([("vendor", "value")])),
}

SAMPLERS: dict[str, Sampler] = {
    "always on": ALWAYS_ON,
    "always off": ALWAYS_OFF,
    "parent, on": DEFAULT_ON,
    "parent, off": DEFAULT_OFF,
    "all of them": TraceIdRatioBased(1.0),
    "none of them": ParentBasedTraceIdRatio(0.0),
    "record only": AlwaysRecordSampler(DEFAULT_OFF),
    "parent overruled": ParentBased(ALWAYS_ON, remote_parent_sampled=ALWAYS_OFF),
}


def plain(tracer: AbstractTracer, parent: Context) -> None:
    tracer.start_span("work", parent).end()


def detailed(tracer: AbstractTracer, parent: Context) -> None:
    links = [Link(SpanContext(0xA1, 0xC3, False), {"why": "retry"})]
    attributes: Attributes = {"text": "x", "number": 1, "list": ["a", "b"], "flag": True}
    span = tracer.start_span("work", parent, SpanKind.CLIENT, attributes, links, 1_000)
    span.set_attribute("text", "y")
    span.set_attributes({"half": 0.5, "none": None, "odd": object})  # type: ignore[dict-item]
    span.add_event("retried", {"attempt": 2}, timestamp=2_000)
    span.add_link(SpanContext(0xA1, 0xD4, True), {"why": "takeover"})
    span.add_link(trace.INVALID_SPAN_CONTEXT)
    span.update_name("other work")
    span.set_status(StatusCode.ERROR)
    span.end(3_000)


def after_its_end(tracer: AbstractTracer, parent: Context) -> None:
    span = tracer.start_span("work", parent)
    span.end(5_000)
    span.end(6_000)
    span.set_attribute("late", 1)
    span.set_attributes({"late": 1})
    span.add_event("late")
    span.add_link(SpanContext(1, 2, False))
    span.update_name("late")
    span.set_status(StatusCode.ERROR)
    assert not span.is_recording()


def statuses(tracer: AbstractTracer, parent: Context) -> None:
    stories: list[list[Status | StatusCode]] = [
        [StatusCode.UNSET],
        [StatusCode.ERROR, StatusCode.OK],
        [Status(StatusCode.OK), StatusCode.ERROR],
        [Status(StatusCode.ERROR), Status(StatusCode.UNSET)],
    ]
    for told in stories:
        span = tracer.start_span("work", parent)
        for each in told:
            span.set_status(each)
        span.end()


def nested(tracer: AbstractTracer, parent: Context) -> None:
    with tracer.start_as_current_span("outer", parent), tracer.start_as_current_span("inner"):
        tracer.start_span("innermost").end()


STORIES = [plain, detailed, after_its_end, statuses, nested]


@pytest.mark.parametrize("story", STORIES)
@pytest.mark.parametrize("parent", PARENTS)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_what_is_exported_is_what_the_sdk_would_export(
    story: Callable[[AbstractTracer, Context], None],
    parent: str,
    sampler: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    theirs = by_the_sdk(SAMPLERS[sampler], lambda t: story(t, PARENTS[parent]), monkeypatch)
    ours = by_us(SAMPLERS[sampler], lambda t: story(t, PARENTS[parent]), monkeypatch)

    assert sent(ours) == sent(theirs)


@pytest.mark.parametrize("parent", PARENTS)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_what_is_passed_on_decides_alike(
    parent: str, sampler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    contexts: list[SpanContext] = []

    def story(tracer: AbstractTracer) -> None:
        contexts.append(tracer.start_span("work", PARENTS[parent]).get_span_context())

    by_the_sdk(SAMPLERS[sampler], story, monkeypatch)
    by_us(SAMPLERS[sampler], story, monkeypatch)

    theirs, ours = contexts
    assert ours.trace_id == theirs.trace_id
    assert ours.trace_flags.sampled == theirs.trace_flags.sampled
    assert ours.trace_state == theirs.trace_state
    if ours.trace_flags.sampled:
        assert ours.span_id == theirs.span_id


def test_limits_are_the_sdks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "2")
    monkeypatch.setenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "3")

    def story(tracer: AbstractTracer) -> None:
        attributes = {"a": "1", "b": "2", "c": "long"}
        tracer.start_span("work", Context(), attributes=attributes, start_time=1).end(2)

    theirs = by_the_sdk(ALWAYS_ON, story, monkeypatch)
    ours = by_us(ALWAYS_ON, story, monkeypatch)

    assert sent(ours) == sent(theirs)
    assert ours[0].attributes == {"b": "2", "c": "lon"}
    assert ours[0].dropped_attributes == 1


def test_an_exception_leaves_its_type_and_none_of_its_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def story(tracer: AbstractTracer) -> None:
        with pytest.raises(KeyError), tracer.start_as_current_span("work", Context()):
            raise KeyError("what the user said")

    (span,) = by_us(ALWAYS_ON, story, monkeypatch)
    (theirs,) = by_the_sdk(ALWAYS_ON, story, monkeypatch)

    assert "what the user said" in theirs.to_json()
    assert "what the user said" not in span.to_json()
    (event,) = span.events
    assert event.name == "exception"
    assert event.attributes == {"exception.type": "KeyError", "exception.escaped": "False"}
    assert span.status.status_code is StatusCode.ERROR


def test_a_span_with_a_given_id_has_it() -> None:
    ended: list[RecordingSpan] = []
    Tracer(ALWAYS_ON, ended.append).start_span("work", Context(), span_id=0xABC).end()

    assert ended[0].context.span_id == 0xABC


def test_without_a_sampler_nothing_is_traced_and_contexts_pass_through() -> None:
    ended: list[RecordingSpan] = []
    tracer = Tracer(None, ended.append)

    assert not tracer.start_span("work", Context()).get_span_context().is_valid
    span = tracer.start_span("work", remote(1))
    span.end()
    assert span.get_span_context().span_id == 0xB2
    assert ended == []


def by_the_sdk(
    sampler: Sampler, story: Callable[[AbstractTracer], None], monkeypatch: pytest.MonkeyPatch
) -> Sequence[ReadableSpan]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler, RESOURCE, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with monkeypatch.context() as patch:
        ids = itertools.count(1)
        patch.setattr(
            "opentelemetry.sdk.trace.id_generator.random.getrandbits", lambda _: next(ids)
        )
        patch.setattr("opentelemetry.sdk.trace.time_ns", ticks())
        story(provider.get_tracer("pentad"))
    return exporter.get_finished_spans()


def by_us(
    sampler: Sampler, story: Callable[[AbstractTracer], None], monkeypatch: pytest.MonkeyPatch
) -> Sequence[ReadableSpan]:
    ended: list[RecordingSpan] = []
    limits = SpanLimits()
    with monkeypatch.context() as patch:
        ids = itertools.count(1)
        patch.setattr("pentad_chassis.tracer.getrandbits", lambda _: next(ids))
        patch.setattr("pentad_chassis.tracer.time.time_ns", ticks())
        story(Tracer(sampler, ended.append))
    kept = [span for span in ended if span.context.trace_flags.sampled]
    return [readable(span, RESOURCE, limits) for span in kept]


def ticks() -> Callable[[], int]:
    times: Iterator[int] = itertools.count(1_000)
    return lambda: next(times)


def sent(spans: Sequence[ReadableSpan]) -> list[Sent]:
    """Return what goes over the wire; attributes in the order of their names, as they have none."""
    request = encode_spans(spans)
    found = [s for r in request.resource_spans for scope in r.scope_spans for s in scope.spans]
    for span in found:
        span.attributes.sort(key=lambda attribute: attribute.key)
    assert all(
        scope.scope.name == "pentad" for r in request.resource_spans for scope in r.scope_spans
    )
    return found


def test_a_span_context_is_what_the_api_would_make_of_the_same() -> None:
    flags, state = TraceFlags(1), TraceState([("k", "v")])

    for remote in (True, False):
        made = span_context(2**128 - 1, 2**64 - 1, flags, state, remote=remote)
        assert made == SpanContext(2**128 - 1, 2**64 - 1, remote, flags, state)
        assert type(made) is SpanContext
    assert span_context(1, 2, flags) == SpanContext(1, 2, False, flags)
