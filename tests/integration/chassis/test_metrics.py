"""What Prometheus reads of a service."""

import asyncio
import socket
import urllib.request
from functools import partial
from pathlib import Path

import pytest
from harness.linked import until_linked

from pentad.state.v1 import entry_service_pb2 as entries
from pentad.state.v1 import entry_service_pb2_grpc as entries_grpc
from pentad_chassis.channel import open_channel
from pentad_chassis.config import ConfigInvalid, Settings
from pentad_chassis.errors import NotFound
from pentad_chassis.server import Context, serving
from pentad_chassis.telemetry import open_telemetry

OPEN_METRICS = {"accept": "application/openmetrics-text; version=1.0.0"}


class Entries(entries_grpc.EntryServiceServicer):
    async def GetEntry(
        self, request: entries.GetEntryRequest, context: Context
    ) -> entries.GetEntryResponse:
        raise NotFound("no entry")


def scrape(address: str) -> str:
    request = urllib.request.Request(f"http://{address}/metrics", headers=OPEN_METRICS)
    with urllib.request.urlopen(request, timeout=5) as response:
        body: bytes = response.read()
        return body.decode()


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


async def test_calls_are_counted_at_both_ends_with_the_trace_of_an_example(
    tmp_path: Path, link: bool
) -> None:
    telemetry = open_telemetry("state")
    config = Settings(address=f"unix:{tmp_path}/s", metrics_address=free_address())
    add = partial(entries_grpc.add_EntryServiceServicer_to_server, Entries())
    async with (
        serving(config, telemetry, [add]),
        open_channel("state", config.address, Settings(link=link), telemetry) as channel,
    ):
        if link:
            await until_linked(channel, telemetry, "state")
        stub = entries_grpc.EntryServiceStub(channel)
        with telemetry.span("root"), pytest.raises(NotFound):
            await stub.GetEntry(entries.GetEntryRequest())
        text = await asyncio.to_thread(scrape, config.metrics_address)

    labels = (
        'rpc_method="pentad.state.v1.EntryService/GetEntry",rpc_response_status_code="NOT_FOUND"'
    )
    assert f"rpc_server_call_duration_seconds_count{{{labels}}} 1.0" in text
    assert f'rpc_client_call_duration_seconds_count{{peer="state",{labels}}} 1.0' in text
    assert telemetry.spans.take()[0].trace_id in text
    assert 'pentad_retry_tokens{peer="state"} 10.0' in text


class Endless(entries_grpc.EntryServiceServicer):
    def __init__(self) -> None:
        self.begun = asyncio.Event()

    async def GetEntry(
        self, request: entries.GetEntryRequest, context: Context
    ) -> entries.GetEntryResponse:
        self.begun.set()
        await asyncio.Event().wait()
        raise AssertionError("nobody ends it")


async def test_a_call_left_by_its_caller_is_counted_as_cancelled_at_both_ends(
    tmp_path: Path, link: bool
) -> None:
    telemetry = open_telemetry("state", "error")
    config = Settings(address=f"unix:{tmp_path}/s")
    servicer = Endless()
    add = partial(entries_grpc.add_EntryServiceServicer_to_server, servicer)
    async with (
        serving(config, telemetry, [add]),
        open_channel("state", config.address, Settings(link=link), telemetry) as channel,
    ):
        if link:
            await until_linked(channel, telemetry, "state")
        stub = entries_grpc.EntryServiceStub(channel)
        calling = asyncio.ensure_future(stub.GetEntry(entries.GetEntryRequest()))
        await servicer.begun.wait()
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)

    labels = {
        "rpc_method": "pentad.state.v1.EntryService/GetEntry",
        "rpc_response_status_code": "CANCELLED",
    }
    value = telemetry.metrics.registry.get_sample_value
    assert value("rpc_server_call_duration_seconds_count", labels) == 1
    assert value("rpc_client_call_duration_seconds_count", {"peer": "state", **labels}) == 1


async def test_an_address_that_cannot_be_had_is_told(tmp_path: Path) -> None:
    config = Settings(address=f"unix:{tmp_path}/s", metrics_address="127.0.0.1:none")
    with pytest.raises(ConfigInvalid, match="METRICS_ADDRESS"):
        async with serving(config, open_telemetry("state"), []):
            pass


async def test_numbers_are_not_open_to_the_network(tmp_path: Path) -> None:
    config = Settings(address=f"unix:{tmp_path}/s", metrics_address="0.0.0.0:9464")
    with pytest.raises(ConfigInvalid, match="METRICS_ADDRESS"):
        async with serving(config, open_telemetry("state"), []):
            pass
