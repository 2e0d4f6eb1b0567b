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


async def check_soundness(store: Store, telemetry: Telemetry) -> dict[str, str]:
    """Return and log what is unsafe about the store's settings, or raise StoreTooOld."""
    try:
        await _check_version(store)
        unsafe = await _unsafe(store)
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


async def _check_version(store: Store) -> None:
    facts = facts_of(await store.call("INFO", "server"))
    version = facts.get("redis_version", "0")
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    if numbers < _OLDEST:
        raise StoreTooOld(version)


async def _unsafe(store: Store) -> dict[str, str]:
    found: dict[str, str] = {}
    policy = await _setting(store, "maxmemory-policy")
    if policy is None:
        return {"unknown": "the store does not let us read its settings"}
    if policy != "noeviction":
        found[f"maxmemory-policy {policy}"] = "the store may drop runs to make room"
    if await _setting(store, "appendonly") != "yes":
        found["appendonly no"] = "accepted runs are lost when the store stops"
    elif await _setting(store, "appendfsync") == "no":
        found["appendfsync no"] = "the last half minute is lost when the machine stops"
    return found


async def _setting(store: Store, name: str) -> str | None:
    try:
        reply = to_dict(await store.call("CONFIG", "GET", name))
    except (ResponseError, StoreUnavailable):
        return None  # many hosted stores forbid it
    return reply.get(name.encode(), b"").decode()
