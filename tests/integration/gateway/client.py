"""The public side of a gateway: a plain gRPC channel, as a client in any language has it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from grpc_status import rpc_status
from integration.gateway.fakes import Peers

from pentad_gateway.config import Config

Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Gateway:
    """A gateway that serves, and what stands behind it."""

    channel: grpc.aio.Channel
    peers: Peers
    key: str

    @property
    def auth(self) -> Metadata:
        return bearer(self.key)


@asynccontextmanager
async def open_client(config: Config) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(config.address) as channel:
        yield channel


def bearer(key: str) -> Metadata:
    return (("authorization", f"Bearer {key}"),)


def key_of(config: Config) -> str:
    return config.api_key_file.read_text().strip()


def reason(error: grpc.aio.AioRpcError) -> str:
    """Return the stable reason of a refused call."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    info = ErrorInfo()
    assert status is not None
    assert status.details[0].Unpack(info)
    assert info.domain == "pentad.dev"
    return str(info.reason)


def violations(error: grpc.aio.AioRpcError) -> list[str]:
    """Return the fields that a refused request got wrong."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    details = BadRequest()
    assert status is not None
    assert status.details[1].Unpack(details)
    return [violation.field for violation in details.field_violations]
