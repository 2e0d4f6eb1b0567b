"""The executors there are: a view of the registry, and a channel to each that gets turns."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from structlog.typing import FilteringBoundLogger

from pentad.state.v1 import registry_service_pb2 as pb
from pentad.state.v1.agent_pb2 import Routing
from pentad_chassis.errors import ServiceError
from pentad_orchestrator.config import Config
from pentad_orchestrator.routing import Choices, Instance, choose

if TYPE_CHECKING:
    from pentad.executor.v1.executor_service_pb2_grpc import ExecutorServiceAsyncStub
    from pentad.state.v1.registry_service_pb2_grpc import RegistryServiceAsyncStub

_Answer = TypeVar("_Answer")

_SERVICE = "executor"
_LIST_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Route:
    """What decides where a turn goes."""

    routing: Routing.ValueType
    """The agent's wish; unspecified for what the orchestrator is set to."""

    provider: str
    """The model provider that the executor must have."""

    key: str
    """What affinity keeps together."""


Connect = Callable[[str], AbstractAsyncContextManager["ExecutorServiceAsyncStub"]]


@dataclass(slots=True, eq=False)
class _Replica:
    """An executor, from its first appearance until it is gone and its last turn has ended."""

    listed: pb.Instance
    stub: "ExecutorServiceAsyncStub"
    channel: AsyncExitStack
    others: int
    """Turns it performs for others."""

    ours: int = 0
    gone: bool = False

    def see(self, listed: pb.Instance) -> None:
        """Take a new sign of life; what it has in hand was counted when it was given."""
        if listed.update_time != self.listed.update_time:
            self.others = max(0, listed.in_hand - self.ours)
        self.listed = listed

    def now(self) -> Instance:
        """Return what a strategy looks at."""
        listed = self.listed
        return Instance(
            instance_id=listed.instance_id,
            in_hand=self.others + self.ours,
            room=listed.room,
            weight=listed.weight,
            region=listed.region,
        )


class Executors:
    """Gives each turn to an executor that takes it."""

    def __init__(
        self,
        registry: "RegistryServiceAsyncStub",
        connect: Connect,
        unlisted: "ExecutorServiceAsyncStub",
        config: Config,
        log: FilteringBoundLogger,
    ) -> None:
        self._registry = registry
        self._connect = connect
        self._unlisted = unlisted
        self._routing = Routing.Value(f"ROUTING_{config.routing.upper()}")
        self._region = config.region
        self._poll_s = config.executors_poll_s
        self._log = log
        self._replicas: dict[str, _Replica] = {}
        self._open: set[_Replica] = set()
        self._choices = Choices()
        self._reached = True

    @property
    def listed(self) -> bool:
        """Whether the registry knows any executor."""
        return bool(self._replicas)

    async def watch(self) -> None:
        """Look once who is there, and wait a little."""
        await self.look()
        await asyncio.sleep(self._poll_s)

    async def look(self) -> None:
        """Learn who is there; a registry that is away leaves the view as it was."""
        request = pb.ListInstancesRequest(service=_SERVICE)
        try:
            response = await self._registry.ListInstances(request, timeout=_LIST_TIMEOUT_S)
        except ServiceError as error:
            if self._reached:
                self._log.warning("registry away", reason=error.reason)
            self._reached = False
        else:
            self._reached = True
            await self._see(response.instances)

    async def perform(
        self, route: Route, attempt: Callable[["ExecutorServiceAsyncStub"], Awaitable[_Answer]]
    ) -> _Answer:
        """Return what `attempt` makes of an executor.

        A ServiceError from it means that the executor did not take the turn: it is passed over,
        and the next one is asked, each at most once. When none takes it, the error that asks for
        the shortest pause is raised. With nobody listed, the configured address has to do.
        """
        refused: dict[str, ServiceError] = {}
        while replica := self._choose(route, refused):
            try:
                async with self._busy(replica):
                    return await attempt(replica.stub)
            except ServiceError as error:
                refused[replica.listed.instance_id] = error
        if refused:
            raise min(refused.values(), key=lambda error: error.retry_after_s or 0.0)
        return await attempt(self._unlisted)

    async def close(self) -> None:
        """Close every channel, with what still goes over it."""
        for replica in list(self._open):
            await replica.channel.aclose()

    def _choose(self, route: Route, refused: dict[str, ServiceError]) -> _Replica | None:
        replicas = list(self._replicas.values())
        # Those who lack the provider refuse for good, so they never stand in for those who have it.
        able = [r for r in replicas if route.provider in r.listed.capabilities] or replicas
        instances = [r.now() for r in able if r.listed.instance_id not in refused]
        if not instances:
            return None
        routing = route.routing or self._routing
        chosen = choose(routing, instances, route.key, self._region, self._choices)
        return self._replicas[chosen.instance_id]

    @asynccontextmanager
    async def _busy(self, replica: _Replica) -> AsyncIterator[None]:
        replica.ours += 1
        try:
            yield
        finally:
            replica.ours -= 1
            if replica.gone and not replica.ours:
                await self._close(replica)

    async def _see(self, instances: Iterable[pb.Instance]) -> None:
        listed = {i.instance_id: i for i in _latest_at_each_address(instances)}
        for instance_id, instance in listed.items():
            if replica := self._replicas.get(instance_id):
                replica.see(instance)
            else:
                self._replicas[instance_id] = await self._open_to(instance)
        gone = [self._replicas.pop(instance_id) for instance_id in self._replicas.keys() - listed]
        self._choices.forget_all_but(listed.keys())
        for replica in gone:
            replica.gone = True
            if not replica.ours:
                await self._close(replica)

    async def _open_to(self, instance: pb.Instance) -> _Replica:
        """Return an executor as it appears; its channel connects with the first turn."""
        channel = AsyncExitStack()
        stub = await channel.enter_async_context(self._connect(instance.address))
        replica = _Replica(instance, stub, channel, others=instance.in_hand)
        self._open.add(replica)
        return replica

    async def _close(self, replica: _Replica) -> None:
        self._open.discard(replica)
        await replica.channel.aclose()


def _latest_at_each_address(instances: Iterable[pb.Instance]) -> Iterable[pb.Instance]:
    """Leave out who died where another has started since, and is not forgotten yet."""
    latest: dict[str, pb.Instance] = {}
    for instance in sorted(instances, key=lambda i: i.create_time.ToNanoseconds()):
        latest[instance.address] = instance
    return latest.values()
