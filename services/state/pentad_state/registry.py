"""Which replicas of a service are there. Each is known for as long as it gives signs of life."""

from google.protobuf.duration_pb2 import Duration

from pentad.state.v1.registry_service_pb2 import Instance
from pentad_state.bounds import KIB, check_name, check_size, invalid, to_ms
from pentad_state.journal import to_time
from pentad_state.pages import STAMP
from pentad_state.partitions import key, partition_of
from pentad_state.store import Store, script

_TTL_S_MAX = 600
_INSTANCE_BYTES = 4 * KIB
_INSTANCES_MAX = 1000
"""Instances of one service; one more takes the place of the one that would be forgotten next."""

_WEIGHT = 100
"""Of an instance that says nothing of its weight."""


class Registry:
    """Every method is one atomic step of the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def register(self, service: str, instance: Instance, ttl: Duration) -> None:
        """Record a sign of life of an instance; it is forgotten `ttl` after its last one."""
        check_name("service", service)
        kept = _to_kept(instance)
        await self._store.run(
            script("registry_register"),
            _keys(service),
            instance.instance_id, to_ms("ttl", ttl, _TTL_S_MAX), _INSTANCES_MAX, kept,
        )  # fmt: skip

    async def deregister(self, service: str, instance_id: str) -> None:
        """Forget an instance."""
        await self._store.run(script("registry_deregister"), _keys(service), instance_id)

    async def list_instances(self, service: str) -> list[Instance]:
        """Return the instances that are alive, by id."""
        found = await self._store.run(script("registry_list"), _keys(service))
        instances = [_from_kept(kept) for kept in found if kept]
        return sorted(instances, key=lambda instance: instance.instance_id)


def _keys(service: str) -> list[str]:
    """Return the keys of a service's instances and of the times when they are forgotten."""
    p = partition_of(service)
    return [key(p, "instances", service), key(p, "instances-expiries", service)]


def _to_kept(instance: Instance) -> bytes:
    check_name("instance.instance_id", instance.instance_id)
    check_name("instance.address", instance.address)
    for field in ("room", "in_hand", "weight"):
        if getattr(instance, field) < 0:
            raise invalid(f"instance.{field}", "must not be negative")
    definition = Instance()
    definition.CopyFrom(instance)
    definition.weight = instance.weight or _WEIGHT
    definition.ClearField("create_time")
    definition.ClearField("update_time")
    kept = definition.SerializeToString()
    check_size("instance", len(kept), _INSTANCE_BYTES)
    return kept


def _from_kept(kept: bytes) -> Instance:
    instance = Instance.FromString(kept[2 * STAMP :])
    instance.create_time.CopyFrom(to_time(int(kept[:STAMP])))
    instance.update_time.CopyFrom(to_time(int(kept[STAMP : 2 * STAMP])))
    return instance
