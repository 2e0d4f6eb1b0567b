"""Servers: health for each service, reflection, and a stop that loses no call."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from pentad.chassis.v1.link_service_pb2_grpc import add_LinkServiceServicer_to_server
from pentad.chassis.v1.status_service_pb2_grpc import add_StatusServiceServicer_to_server
from pentad_chassis.admission import Admission
from pentad_chassis.calls import Caller, caller, remaining_s
from pentad_chassis.config import Settings
from pentad_chassis.credentials import check_exposure, server_credentials
from pentad_chassis.errors import FailedPrecondition
from pentad_chassis.handling import Authenticate, Context, Handling
from pentad_chassis.health import Level, following
from pentad_chassis.instrumentation import server_tracing
from pentad_chassis.link.servicer import LinkServicer
from pentad_chassis.metrics import exposed
from pentad_chassis.status_servicer import STATUS_SERVICE, StatusServicer
from pentad_chassis.telemetry import Telemetry

__all__ = ["Caller", "Context", "caller", "remaining_s", "serving"]

_MESSAGE_BYTES_MAX = 16 * 1024 * 1024
_PUBLIC_MESSAGE_BYTES_MAX = 4 * 1024 * 1024

_AGE_MS = 300_000
"""Connections end at this age, so that new replicas get their share of calls."""

_PUBLIC_AGE_MS = 3_600_000
"""Longer where clients keep streams open: a stream ends with its connection."""

_AGE_GRACE_MS = 30_000

_HEARD_S = 1.0
"""For the last answers on links to be heard; their callers end them then."""

_OPTIONS: Sequence[tuple[str, Any]] = (
    ("grpc.max_metadata_size", 16 * 1024),
    ("grpc.http2.min_ping_interval_without_data_ms", 400),  # less than half of any SILENCE_S
    ("grpc.keepalive_permit_without_calls", 1),
)

Add = Callable[[Any], None]


class AddressInUse(FailedPrecondition):
    """Another process listens where this one is to."""

    reason = "ADDRESS_IN_USE"

    def __init__(self, address: str) -> None:
        super().__init__(
            f"cannot listen on {address}: another process does, or the address is not this host's",
            address=address,
        )


@asynccontextmanager
async def serving(
    config: Settings,
    telemetry: Telemetry,
    services: Sequence[Add],
    authenticate: Authenticate | None = None,
    parked: frozenset[str] = frozenset(),
    new_work: frozenset[str] = frozenset(),
) -> AsyncIterator[None]:
    """Serve on `config.address` and `config.shared_address` while the block runs; then drain.

    `services` are generated `add_…Servicer_to_server` functions with their servicers. Calls of
    `parked` methods (`/package.Service/Method`) only wait for something to happen: a stop ends
    them at once with DRAINING, and lets all others finish. Calls of `new_work` methods are refused
    with OVERLOADED while the line before their gate does not move, or after a service behind this
    one refused one. The gate is for unary ones: of a stream nobody knows when its work has begun.
    """
    check_exposure(config)
    admission = Admission(config, telemetry, parked, new_work)
    public = authenticate is not None
    traced, interceptors = server_tracing(config, telemetry, public=public)
    handling = Handling(traced, admission, authenticate)
    server = _new_server(config, interceptors, public=public)
    registry = _Registry(server, handling)
    for add in services:
        add(registry)
    # How a service is must be told most of all when it is full; at the public edge, though, only
    # to those who say who they are.
    status = StatusServicer(telemetry.health)
    teller: Any = registry if public else server
    add_StatusServiceServicer_to_server(status, teller)
    names = sorted({*registry.names, STATUS_SERVICE})
    links = LinkServicer(registry.handlers, telemetry, authenticate)
    if not interceptors:  # they would see no call that comes over a link
        add_LinkServiceServicer_to_server(links, server)
    checks = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    reflection.enable_server_reflection(
        (*names, health.SERVICE_NAME, reflection.SERVICE_NAME), server
    )
    await _listen(server, config, public=public)
    publish = partial(_publish, checks, ("", *names), links)
    telemetry.health.started()
    telemetry.log.info("serving", address=config.address)
    try:
        with exposed(telemetry.metrics, config.metrics_address):
            async with following(telemetry.health, publish, telemetry.log):
                yield
    finally:
        links.go_away()
        await checks.enter_graceful_shutdown()
        await asyncio.sleep(config.drain_delay_s)
        await admission.drain(config.drain_grace_s)
        await links.close(min(_HEARD_S, config.drain_grace_s))
        await server.stop(grace=0.1)
        telemetry.log.info("stopped")


def _new_server(
    config: Settings, interceptors: Sequence[grpc.aio.ServerInterceptor], *, public: bool
) -> grpc.aio.Server:
    size = _PUBLIC_MESSAGE_BYTES_MAX if public else _MESSAGE_BYTES_MAX
    return grpc.aio.server(
        interceptors=interceptors,
        options=(
            *_OPTIONS,
            # Unless it is meant, a second instance on the port must fail, not share its calls.
            ("grpc.so_reuseport", 1 if config.shared_address else 0),
            ("grpc.max_receive_message_length", size),
            ("grpc.max_connection_age_ms", _PUBLIC_AGE_MS if public else _AGE_MS),
            ("grpc.max_connection_age_grace_ms", _AGE_GRACE_MS),
            ("grpc.max_send_message_length", _MESSAGE_BYTES_MAX),
        ),
    )


async def _publish(
    checks: health.aio.HealthServicer, names: Sequence[str], links: LinkServicer, level: Level
) -> None:
    """Make `grpc.health.v1` say whether the service works; once it drains, nothing changes it."""
    says = health_pb2.HealthCheckResponse
    links.follow(works=level is not Level.UNHEALTHY)
    for name in names:
        await checks.set(name, says.NOT_SERVING if level is Level.UNHEALTHY else says.SERVING)


class _Registry:
    """Stands where generated code expects a server, and surrounds what it registers."""

    def __init__(self, server: grpc.aio.Server, handling: Handling) -> None:
        self._server = server
        self._handling = handling
        self.names: list[str] = []
        self.handlers: dict[str, Any] = {}
        """By `/package.Service/Method`, for calls that come otherwise than by gRPC itself."""

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """Pass over the same handlers in their other form."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """Register the methods of one service."""
        self.names.append(service)
        surrounded = {
            name: self._handling.surround(f"/{service}/{name}", handler)
            for name, handler in handlers.items()
        }
        self.handlers |= {f"/{service}/{name}": made for name, made in surrounded.items()}
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service, surrounded),)
        )


async def _listen(server: grpc.aio.Server, config: Settings, *, public: bool) -> None:
    credentials = server_credentials(config, public=public)
    for address in filter(None, (config.address, config.shared_address)):
        try:
            if credentials is None:
                server.add_insecure_port(address)
            else:
                server.add_secure_port(address, credentials)
        except RuntimeError:
            raise AddressInUse(address) from None
    await server.start()
