"""Spans reach a real collector over OTLP, as the standard variables say."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from harness.collector import Collector, running_collector
from harness.linked import until_linked
from harness.suite import free_port
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from pentad.state.v1 import entry_service_pb2 as entries
from pentad.state.v1 import entry_service_pb2_grpc as entries_grpc
from pentad_chassis.channel import open_channel
from pentad_chassis.config import ConfigInvalid, Settings
from pentad_chassis.errors import NotFound
from pentad_chassis.server import Context, serving
from pentad_chassis.spans import recording_spans
from pentad_chassis.telemetry import Lineage, current_traceparent, open_telemetry

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


class Entries(entries_grpc.EntryServiceServicer):
    async def GetEntry(
        self, request: entries.GetEntryRequest, context: Context
    ) -> entries.GetEntryResponse:
        if request.key:
            raise NotFound("no entry")
        return entries.GetEntryResponse()


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with running_collector() as running:
        monkeypatch.setenv(ENDPOINT, running.endpoint)
        yield running


async def call_once(
    tmp_path: Path, config: Settings, *, key: str = "", linked: bool = False
) -> None:
    """Make one traced call between two services, and close both telemetries."""
    config = config.model_copy(update={"address": f"unix:{tmp_path}/s"})
    client, server = open_telemetry("client", "error"), open_telemetry("server", "error")
    add = partial(entries_grpc.add_EntryServiceServicer_to_server, Entries())
    async with (
        serving(config, server, [add]),
        open_channel("server", config.address, config, client) as channel,
    ):
        stub = entries_grpc.EntryServiceStub(channel)
        await stub.GetEntry(entries.GetEntryRequest())
        if linked:
            await until_linked(channel, client, "server")
        with client.span("root"):
            if key:
                with pytest.raises(NotFound):
                    await stub.GetEntry(entries.GetEntryRequest(key=key))
            else:
                await stub.GetEntry(entries.GetEntryRequest())
    await asyncio.to_thread(client.close)
    await asyncio.to_thread(server.close)


async def test_a_call_is_one_trace_at_the_collector(
    collector: Collector, tmp_path: Path, link: bool
) -> None:
    await call_once(tmp_path, Settings(link=link), linked=link)

    spans = {(s.name, s.kind): s for s in collector.spans}
    root = spans["root", Span.SPAN_KIND_INTERNAL]
    method = "pentad.state.v1.EntryService/GetEntry"
    called, served = spans[method, Span.SPAN_KIND_CLIENT], spans[method, Span.SPAN_KIND_SERVER]
    assert len(collector.spans) == 3
    assert {s.trace_id for s in collector.spans} == {root.trace_id}
    assert called.parent_span_id == root.span_id
    assert served.parent_span_id == called.span_id
    assert collector.services == {"pentad-client", "pentad-server"}


async def test_leaving_the_service_sends_what_is_left(collector: Collector) -> None:
    telemetry = open_telemetry("state", "error")

    async def record(_: object) -> None:
        pass

    async with recording_spans(telemetry, record):
        with telemetry.span("last words"):
            pass

    assert [span.name for span in collector.spans] == ["last words"]


def test_a_takeover_is_linked(collector: Collector) -> None:
    telemetry = open_telemetry("orchestrator", "error")
    with telemetry.span("invoke_agent a", lineage=Lineage(0xB, follows=0xA)):
        (begun,) = telemetry.spans.take()
    telemetry.close()

    (span,) = collector.spans
    assert span.span_id.hex() == f"{0xB:016x}"
    assert [link.span_id.hex() for link in span.links] == [f"{0xA:016x}"]
    assert span.links[0].trace_id == span.trace_id
    (ended,) = telemetry.spans.take()
    assert not begun.HasField("end_time")
    assert begun.span_id == ended.span_id == f"{0xB:016x}"
    assert ended.attributes["pentad.linked_span"] == f"{0xA:016x}"


@pytest.mark.parametrize(
    ("sampler", "argument", "sent"),
    [
        ("always_on", "", 20),
        ("always_off", "", 0),
        ("parentbased_always_off", "", 0),
        ("parentbased_traceidratio", "0.0", 0),
        ("traceidratio", "1.0", 20),
    ],
)
def test_the_sampler_of_the_environment_decides(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, sampler: str, argument: str, sent: int
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", argument)
    telemetry = open_telemetry("state", "error")
    for _ in range(10):
        with telemetry.span("outer"), telemetry.span("inner"):
            flags = current_traceparent()[-2:]
            assert (int(flags, 16) & 1) == (1 if sent else 0)
    telemetry.close()

    assert len(collector.spans) == sent
    assert len(telemetry.spans.take()) == sent


def test_a_share_of_traces_is_whole_or_not_there(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    telemetry = open_telemetry("state", "error")
    for _ in range(200):
        with telemetry.span("outer"), telemetry.span("inner"):
            pass
    telemetry.close()

    names = [span.name for span in collector.spans]
    assert names.count("outer") == names.count("inner")
    assert 50 < names.count("outer") < 150


def test_the_sdk_can_be_disabled(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    telemetry = open_telemetry("state", "error")
    with telemetry.span("work"):
        assert current_traceparent() == ""
    traceparent = f"00-{'a' * 32}-{'b' * 16}-01"
    with telemetry.span("work", traceparent=traceparent):
        assert current_traceparent() == traceparent
    telemetry.close()

    assert collector.spans == []
    assert telemetry.spans.take() == []


def test_an_exporter_of_none_sends_nothing(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    telemetry = open_telemetry("state", "error")
    with telemetry.span("work"):
        pass
    telemetry.close()

    assert collector.spans == []
    assert len(telemetry.spans.take()) == 1


@pytest.mark.usefixtures("collector")
def test_a_protocol_that_is_not_spoken_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    with pytest.raises(ConfigInvalid, match="OTEL_EXPORTER_OTLP_PROTOCOL"):
        open_telemetry("state", "error")


def test_a_process_ends_although_its_collector_is_away() -> None:
    """Bounded by what `close` allows and not by the exporter's own patience, which is longer."""
    program = (
        "from pentad_chassis.telemetry import open_telemetry\n"
        "telemetry = open_telemetry('state', 'error')\n"
        "with telemetry.span('work'): pass\n"
        "telemetry.close()\n"
    )
    environment = {
        ENDPOINT: f"http://127.0.0.1:{free_port()}",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "100",
    }
    done = subprocess.run([sys.executable, "-c", program], env=environment, timeout=30, check=False)
    assert done.returncode == 0


async def test_by_the_instrumentation_a_call_is_one_trace_too(
    collector: Collector, tmp_path: Path
) -> None:
    await call_once(tmp_path, Settings(tracer="instrumentation"))

    spans = {(s.name, s.kind): s for s in collector.spans}
    root = spans["root", Span.SPAN_KIND_INTERNAL]
    method = "/pentad.state.v1.EntryService/GetEntry"
    called, served = spans[method, Span.SPAN_KIND_CLIENT], spans[method, Span.SPAN_KIND_SERVER]
    assert len(collector.spans) == 3, "neither doubled, nor any of the call without a trace"
    assert called.parent_span_id == root.span_id
    assert served.parent_span_id == called.span_id
    assert "rpc.grpc.status_code" in {attribute.key for attribute in served.attributes}


async def test_by_the_instrumentation_errors_keep_their_reason_and_show_at_the_server(
    collector: Collector, tmp_path: Path
) -> None:
    await call_once(tmp_path, Settings(tracer="instrumentation"), key="nope")

    (served,) = [s for s in collector.spans if s.kind == Span.SPAN_KIND_SERVER]
    codes = {a.key: a.value.int_value for a in served.attributes}
    assert codes["rpc.grpc.status_code"] == 5
    assert "no entry" not in str(collector.spans)
