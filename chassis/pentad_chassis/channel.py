"""Calls to a peer: errors → retry → breaker → trace around every RPC of a generated stub."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from typing import Any, NoReturn, Protocol, Self, TypeVar

import grpc
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.descriptor_pool import Default

from pentad_chassis.breaker import Breaker, BreakerPolicy
from pentad_chassis.clock import SystemClock
from pentad_chassis.config import Settings
from pentad_chassis.credentials import channel_credentials
from pentad_chassis.health import Peer, always
from pentad_chassis.hop import Hop, ResponseStream
from pentad_chassis.instrumentation import client_tracing
from pentad_chassis.link.channel import LinkedChannel
from pentad_chassis.link.links import Links
from pentad_chassis.metadata import Metadata
from pentad_chassis.peers import Enquiry, condition_of
from pentad_chassis.telemetry import Telemetry

_SERVICE_CONFIG = """{
    "loadBalancingConfig": [{"round_robin": {}}],
    "healthCheckConfig": {"serviceName": ""}
}"""
_MESSAGE_BYTES_MAX = 16 * 1024 * 1024

OPTIONS: Sequence[tuple[str, Any]] = (
    ("grpc.service_config", _SERVICE_CONFIG),
    ("grpc.use_local_subchannel_pool", 1),  # five services of one process share no connection
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),  # one retry layer, above the transport
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),  # what it means: time to connect, TLS included
    ("grpc.max_reconnect_backoff_ms", 2000),  # a peer that is back is found within that time
    ("grpc.max_receive_message_length", _MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", _MESSAGE_BYTES_MAX),
)

_Response = TypeVar("_Response")
_Element_co = TypeVar("_Element_co", covariant=True)


class Stream(Protocol[_Element_co]):
    """What a call answers with that streams."""

    def __aiter__(self) -> AsyncIterator[_Element_co]: ...

    def cancel(self) -> bool: ...


@asynccontextmanager
async def open_channel(
    peer: str,
    address: str,
    config: Settings,
    telemetry: Telemetry,
    *,
    metadata: Metadata = (),
    needed: Callable[[], bool] = always,
) -> AsyncIterator[grpc.aio.Channel]:
    """Connect generated stubs to `peer`; `metadata` goes with every call.

    The peer's health counts for this service's as long as it is `needed`.
    """
    entered = partial(telemetry.metrics.breaker_entered, peer)
    patience = BreakerPolicy(reset_s=config.breaker_reset_s)
    breaker = Breaker(peer, SystemClock(), patience, on_change=entered)
    traced, interceptors = client_tracing(config, telemetry)
    linked = config.link and not interceptors  # which see no call that goes over a link
    hop = Hop(peer, breaker, traced, () if linked else metadata)
    credentials = channel_credentials(config)
    options = (*OPTIONS, *_pings(config.silence_s))
    inner = (
        grpc.aio.insecure_channel(address, options, interceptors=interceptors)
        if credentials is None
        else grpc.aio.secure_channel(address, credentials, options, interceptors=interceptors)
    )
    known = Peer(
        name=peer,
        address=address,
        check=lambda: condition_of(breaker, inner.get_state()),
        ask=Enquiry(telemetry.service, peer, address, credentials),
        needed=needed,
    )
    async with (
        inner,
        _linked(peer, inner, telemetry, metadata) if linked else nullcontext(inner) as transport,
    ):
        with telemetry.health.calling(known):
            yield _Channel(inner, hop, transport)


@asynccontextmanager
async def reading(call: Stream[_Response]) -> AsyncIterator[AsyncIterator[_Response]]:
    """Read a response stream inside the block; leaving it early cancels the RPC at the peer."""
    try:
        yield call.__aiter__()
    finally:
        call.cancel()


def _pings(silence_s: float) -> Sequence[tuple[str, int]]:
    """Return the options that find a connection whose other end is gone without a word.

    It is one replica's, whereas breaker and deadlines know the peer as a whole: with one replica
    silent, only this keeps the next calls from choosing it.
    """
    half_ms = int(silence_s * 1000 / 2)
    return (
        ("grpc.keepalive_time_ms", half_ms),
        ("grpc.keepalive_timeout_ms", half_ms),
        ("grpc.http2.ping_timeout_ms", half_ms),  # a minute by default, whatever keepalive says
        ("grpc.http2.max_pings_without_data", 0),  # while nobody calls, too
    )


@asynccontextmanager
async def _linked(
    peer: str, inner: grpc.aio.Channel, telemetry: Telemetry, metadata: Metadata
) -> AsyncIterator[LinkedChannel]:
    links = Links(peer, inner, telemetry, metadata)
    keeping = asyncio.create_task(links.keep())
    try:
        yield LinkedChannel(inner, links, metadata)
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


class _Channel(grpc.aio.Channel):
    """Hands stubs callables that go through a hop; a stub cannot tell the difference."""

    def __init__(
        self, inner: grpc.aio.Channel, hop: Hop, transport: grpc.aio.Channel | LinkedChannel
    ) -> None:
        self._inner = inner
        self._hop = hop
        self._transport: Any = transport

    def unary_unary(
        self,
        method: str,
        request_serializer: Callable[..., bytes] | None = None,
        response_deserializer: Callable[..., Any] | None = None,
        _registered_method: bool | None = False,  # noqa: FBT001, FBT002 - grpc's signature
    ) -> Any:
        inner = self._transport.unary_unary(method, request_serializer, response_deserializer)
        hop, retryable = self._hop, is_idempotent(method)

        async def call(request: Any, *, timeout: float | None = None) -> Any:
            return await hop.unary(inner, request, timeout, method=method, retryable=retryable)

        return call

    def unary_stream(
        self,
        method: str,
        request_serializer: Callable[..., bytes] | None = None,
        response_deserializer: Callable[..., Any] | None = None,
        _registered_method: bool | None = False,  # noqa: FBT001, FBT002 - grpc's signature
    ) -> Any:
        inner = self._transport.unary_stream(method, request_serializer, response_deserializer)
        hop, retryable = self._hop, is_idempotent(method)

        def call(request: Any, *, timeout: float | None = None) -> ResponseStream:
            return hop.stream(inner, request, timeout, method=method, retryable=retryable)

        return call

    def stream_unary(self, *_: Any, **__: Any) -> Any:
        return _no_request_streams

    def stream_stream(self, *_: Any, **__: Any) -> Any:
        return _no_request_streams

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        await self._inner.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:  # noqa: FBT001, FBT002 - grpc's signature
        return self._inner.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._inner.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._inner.channel_ready()


def _no_request_streams(*_: Any, **__: Any) -> NoReturn:
    raise NotImplementedError("no RPC of Pentad streams requests")


def is_idempotent(method: str) -> bool:
    """Whether the proto of `/package.Service/Method` allows the call to be repeated."""
    descriptor = Default().FindMethodByName(method[1:].replace("/", "."))
    level = descriptor.GetOptions().idempotency_level
    return level in {MethodOptions.NO_SIDE_EFFECTS, MethodOptions.IDEMPOTENT}
