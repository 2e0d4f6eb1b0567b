"""Mutual TLS between services, with certificates made by openssl."""

import shutil
import socket
import subprocess
from functools import partial
from pathlib import Path

import pytest
from harness.linked import until_linked

from pentad.chassis.v1.status_service_pb2 import LEVEL_HEALTHY
from pentad.state.v1 import entry_service_pb2 as entries
from pentad.state.v1 import entry_service_pb2_grpc as entries_grpc
from pentad_chassis.channel import open_channel
from pentad_chassis.config import ConfigInvalid, Settings
from pentad_chassis.errors import Unavailable
from pentad_chassis.server import Context, serving
from pentad_chassis.status_servicer import survey
from pentad_chassis.telemetry import silent_telemetry

if shutil.which("openssl") is None:
    pytest.skip("openssl is missing", allow_module_level=True)


class Entries(entries_grpc.EntryServiceServicer):
    async def GetEntry(
        self, request: entries.GetEntryRequest, context: Context
    ) -> entries.GetEntryResponse:
        return entries.GetEntryResponse(entry=entries.Entry(key=request.key))


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of a service with a certificate of the suite's own authority."""
    folder = tmp_path_factory.mktemp("tls")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl(folder, "req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca")
    openssl(
        folder, "req", "-x509", *key, "-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=s",
        "-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "subjectAltName=DNS:localhost",
    )  # fmt: skip
    return Settings(
        address=f"localhost:{free_port()}",
        tls_cert_file=folder / "cert.pem",
        tls_key_file=folder / "key.pem",
        tls_ca_file=folder / "ca.pem",
    )


async def get_entry(address: str, config: Settings, *, linked: bool = False) -> str:
    telemetry = silent_telemetry("test")
    async with open_channel("state", address, config, telemetry) as channel:
        if linked:
            await until_linked(channel, telemetry, "state")
        stub = entries_grpc.EntryServiceStub(channel)
        response = await stub.GetEntry(entries.GetEntryRequest(scope="s", key="k"))
        return response.entry.key


async def test_a_peer_with_a_certificate_is_answered_and_one_without_is_not(
    secured: Settings, link: bool
) -> None:
    servicer = Entries()
    add = partial(entries_grpc.add_EntryServiceServicer_to_server, servicer)
    async with serving(secured, silent_telemetry("state"), [add]):
        config = secured.model_copy(update={"link": link})
        assert await get_entry(secured.address, config, linked=link) == "k"
        with pytest.raises(Unavailable):
            await get_entry(secured.address, Settings(link=link))


async def test_half_a_tls_configuration_refuses_to_start(secured: Settings) -> None:
    half = Settings(address=secured.address, tls_cert_file=secured.tls_cert_file)

    with pytest.raises(ConfigInvalid, match="TLS needs all of"):
        async with serving(half, silent_telemetry("state"), []):
            pass


async def test_a_peer_s_replicas_are_asked_over_tls_by_the_name_of_the_service(
    secured: Settings,
) -> None:
    caller = silent_telemetry("gateway")
    async with (
        serving(secured, silent_telemetry("state"), []),
        open_channel("state", secured.address, secured, caller),
    ):
        found = await survey(caller.health, 1)

    assert [(s.service, s.level) for s in found] == [
        ("gateway", LEVEL_HEALTHY),
        ("state", LEVEL_HEALTHY),
    ], found
