"""A real gateway on a unix socket, with fakes behind it."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from integration.gateway.client import Gateway, key_of, open_client
from integration.gateway.fakes import Peers

from pentad_chassis.telemetry import silent_telemetry
from pentad_gateway.app import open_app
from pentad_gateway.config import Config


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path: those of unix sockets end at about 108 bytes."""
    path = Path(tempfile.mkdtemp(prefix="pentad-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def peers(folder: Path) -> Peers:
    return Peers(folder)


@pytest.fixture
def config(peers: Peers) -> Config:
    return Config(
        address=peers.address("gateway"),
        api_key_file=peers.folder / "home" / "api-key",
        drain_grace_s=0.0,
        **peers.addresses(),
    )


@pytest.fixture
async def gateway(peers: Peers, config: Config) -> AsyncIterator[Gateway]:
    async with (
        peers.open_state(),
        peers.open_others(),
        open_app(config, silent_telemetry("gateway")),
        open_client(config) as channel,
    ):
        yield Gateway(channel, peers, key_of(config))
