"""What the store's own settings promise, said whenever the store is found."""

from redis.exceptions import ResponseError

from pentad_chassis.errors import FailedPrecondition
from pentad_chassis.telemetry import Telemetry
from pentad_state.errors import StoreUnavailable
from pentad_state.store import Store, to_dict

_OLDEST = (6, 2)


class StoreTooOld(FailedPrecondition):
    """The server is older than any that Pentad runs on."""

    reason = "STORE_TOO_OLD"

    def __init__(self, version: str) -> None:
        super().__init__(
            f"the store is version {version}; Pentad needs Redis 6.2 or Valkey 7.2",
            version=version,
        )


async def check_soundness(store: Store, durability: str, telemetry: Telemetry) -> dict[str, str]:
    """Return and log what of the store's settings breaks its promise, or raise StoreTooOld."""
    try:
        await _check_version(store)
        unsafe = await _unsafe(store, durability)
    except StoreUnavailable as error:
        cause = error.metadata["cause"]
        telemetry.log.warning("store settings unchecked", cause=cause)
        return {"unchecked": cause}
    for setting, consequence in unsafe.items():
        telemetry.log.warning("store setting unsafe", setting=setting, consequence=consequence)
    return unsafe


def facts_of(info: bytes) -> dict[str, str]:
    """Return the answer to INFO by name."""
    return dict(line.split(":", 1) for line in info.decode().splitlines() if ":" in line)


def replicas_of(facts: dict[str, str]) -> int:
    """Return how many replicas follow a server, by its INFO replication."""
    return sum("state=online" in fact for name, fact in facts.items() if name.startswith("slave"))


async def _check_version(store: Store) -> None:
    for answer in await store.everywhere("INFO", "server"):
        version = facts_of(answer).get("redis_version", "0")
        numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
        if numbers < _OLDEST:
            raise StoreTooOld(version)


async def _unsafe(store: Store, durability: str) -> dict[str, str]:
    found: dict[str, str] = {}
    policies = await _settings(store, "maxmemory-policy")
    if not policies:
        return {"unknown": "the store does not let us read its settings"}
    for policy in policies - {"noeviction"}:
        found[f"maxmemory-policy {policy}"] = "the store may drop runs to make room"
    if await _settings(store, "appendonly") != {"yes"}:
        # In every class: an empty primary that comes back makes its replicas as empty.
        found["appendonly no"] = "accepted runs are lost when the store stops"
        return found
    written = await _settings(store, "appendfsync")
    if "no" in written:
        found["appendfsync no"] = "the last half minute is lost when the machine stops"
    elif durability == "disk" and written != {"always"}:
        found["appendfsync everysec"] = "the last second is lost when the machine stops"
    return found


async def _settings(store: Store, name: str) -> set[str]:
    """Return what a setting is, on all servers; nothing if one of them keeps it to itself."""
    try:
        replies = await store.everywhere("CONFIG", "GET", name)
    except (ResponseError, StoreUnavailable):
        return set()  # many hosted stores forbid it
    return {to_dict(reply).get(name.encode(), b"").decode() for reply in replies}
