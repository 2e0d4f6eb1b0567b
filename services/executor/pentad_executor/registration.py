"""The executor in the registry: known from its start, by signs of life, until it leaves."""

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from google.protobuf.duration_pb2 import Duration
from structlog.typing import FilteringBoundLogger

from pentad.state.v1.registry_service_pb2 import DeregisterRequest, Instance, RegisterRequest
from pentad_chassis.errors import ServiceError

if TYPE_CHECKING:
    from pentad.state.v1.registry_service_pb2_grpc import RegistryServiceAsyncStub

_SERVICE = "executor"
_TIMEOUT_S = 2.0


@asynccontextmanager
async def registered(
    registry: "RegistryServiceAsyncStub",
    describe: Callable[[], Instance],
    ttl_s: float,
    log: FilteringBoundLogger,
) -> AsyncIterator[None]:
    """Be known while the block runs; leaving it says so before anything stops.

    A registry that is away holds nothing up: callers keep the view they had, and a later sign of
    life makes this executor known again.
    """
    leaving = asyncio.Event()
    keeping = asyncio.create_task(_Registration(registry, describe, ttl_s, log).keep(leaving))
    try:
        yield
    finally:
        leaving.set()
        await keeping


class _Registration:
    def __init__(
        self,
        registry: "RegistryServiceAsyncStub",
        describe: Callable[[], Instance],
        ttl_s: float,
        log: FilteringBoundLogger,
    ) -> None:
        self._registry = registry
        self._describe = describe
        self._ttl_s = ttl_s
        self._log = log
        self._known: bool | None = None

    async def keep(self, leaving: asyncio.Event) -> None:
        """Give signs of life until told to leave; one task does both, so that none comes late."""
        while not leaving.is_set():
            await self._give_sign()
            await _wait(leaving, self._ttl_s / (3 if self._known else 10))
        await self._leave()

    async def _give_sign(self) -> None:
        request = RegisterRequest(service=_SERVICE, instance=self._describe(), ttl=self._ttl())
        try:
            await self._registry.Register(request, timeout=_TIMEOUT_S)
        except ServiceError as error:
            if self._known is not False:
                self._log.warning("registry away", reason=error.reason)
            self._known = False
        except Exception:  # noqa: BLE001 - who serves and is not known gets nothing to do
            self._log.exception("sign of life failed by a defect")
            self._known = False
        else:
            if not self._known:
                self._log.info("registered", instance_id=request.instance.instance_id)
            self._known = True

    async def _leave(self) -> None:
        request = DeregisterRequest(service=_SERVICE, instance_id=self._describe().instance_id)
        try:
            await self._registry.Deregister(request, timeout=_TIMEOUT_S)
        except ServiceError as error:
            # It is forgotten all the same, a little later.
            self._log.warning("not deregistered", reason=error.reason)

    def _ttl(self) -> Duration:
        ttl = Duration()
        ttl.FromNanoseconds(int(self._ttl_s * 1e9))
        return ttl


def reachable_at(address: str) -> str:
    """Return the address for callers that listening on `address` gives, or nothing.

    `0.0.0.0` and a port of the system's choice say nothing that another process could use.
    """
    if address.startswith("unix:"):
        return address
    host, _, port = address.rpartition(":")
    try:
        everywhere = ipaddress.ip_address(host.strip("[]")).is_unspecified
    except ValueError:
        everywhere = not host
    return "" if everywhere or port == "0" else address


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
