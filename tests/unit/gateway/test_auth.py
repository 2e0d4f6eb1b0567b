"""Whose key a call carries, and what it costs the state service to find out."""

import asyncio
from typing import TYPE_CHECKING, cast

import pytest

from pentad.state.v1.entry_service_pb2 import (
    Entry,
    GetEntryRequest,
    GetEntryResponse,
    PutEntryRequest,
    PutEntryResponse,
)
from pentad_chassis.calls import Caller
from pentad_chassis.clock import FakeClock
from pentad_chassis.errors import Aborted, NotFound, Unavailable
from pentad_gateway.auth import KNOWN_HOLD_S, UNKNOWN_HOLD_S, ApiKeys, KeyHolder
from pentad_gateway.errors import ApiKeyInvalid, ApiKeyMissing
from pentad_gateway.keys import digest, generate_key, is_key

if TYPE_CHECKING:
    from pentad.state.v1.entry_service_pb2_grpc import EntryServiceAsyncStub

ACME = KeyHolder(tenant="acme", name="ci")


class Entries:
    """As much of the state service's stub as keys need."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.look_ups = 0
        self.open = asyncio.Event()
        self.open.set()
        self.down = False

    async def GetEntry(self, request: GetEntryRequest, timeout: float) -> GetEntryResponse:
        assert timeout > 0
        self.look_ups += 1
        await self.open.wait()
        if self.down:
            raise Unavailable("down")
        if request.key not in self.values:
            raise NotFound("no such entry")
        return GetEntryResponse(entry=Entry(key=request.key, value=self.values[request.key]))

    async def PutEntry(self, request: PutEntryRequest, timeout: float) -> PutEntryResponse:
        assert timeout > 0
        assert request.HasField("expected_version")
        if request.key in self.values:
            conflict = Aborted("another writer came first")
            conflict.reason = "VERSION_MISMATCH"
            raise conflict
        self.values[request.key] = request.value
        return PutEntryResponse()


@pytest.fixture
def entries() -> Entries:
    return Entries()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def keys(entries: Entries, clock: FakeClock) -> ApiKeys:
    return ApiKeys(cast("EntryServiceAsyncStub", entries), clock)


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def test_keys_are_long_random_and_of_one_form() -> None:
    made = {generate_key() for _ in range(100)}

    assert len(made) == 100
    assert all(is_key(key) for key in made)
    assert not is_key(generate_key() + "\n")
    assert not is_key("pentad_short")


async def test_a_key_names_its_tenant(keys: ApiKeys) -> None:
    key = generate_key()
    await keys.enrol(key, ACME)

    assert await keys.authenticate("", bearer(key)) == Caller(tenant="acme", key_name="ci")
    assert await keys.authenticate("", {"authorization": f"bearer  {key} "}) == Caller("acme", "ci")


async def test_only_the_digest_is_stored(keys: ApiKeys, entries: Entries) -> None:
    key = generate_key()
    await keys.enrol(key, ACME)

    assert list(entries.values) == [digest(key)]
    assert key.encode() not in entries.values[digest(key)]


async def test_a_key_keeps_its_first_holder(keys: ApiKeys) -> None:
    key = generate_key()
    await keys.enrol(key, ACME)
    await keys.enrol(key, KeyHolder(tenant="other", name="late"))

    assert (await keys.authenticate("", bearer(key))).tenant == "acme"


@pytest.mark.parametrize(
    "metadata",
    [{}, {"authorization": ""}, {"authorization": "Bearer"}, {"authorization": "Basic x"}],
)
async def test_a_call_without_a_key_is_told_what_to_send(
    keys: ApiKeys, metadata: dict[str, str]
) -> None:
    with pytest.raises(ApiKeyMissing, match="authorization: Bearer KEY"):
        await keys.authenticate("", metadata)


async def test_a_malformed_key_costs_no_look_up_and_is_not_repeated(
    keys: ApiKeys, entries: Entries
) -> None:
    with pytest.raises(ApiKeyInvalid) as raised:
        await keys.authenticate("", bearer("pentad_guess"))

    assert entries.look_ups == 0
    assert "guess" not in str(raised.value) + str(raised.value.metadata)


async def test_a_known_key_is_looked_up_again_after_a_while(
    keys: ApiKeys, entries: Entries, clock: FakeClock
) -> None:
    key = generate_key()
    await keys.enrol(key, ACME)
    for _ in range(3):
        await keys.authenticate("", bearer(key))
    assert entries.look_ups == 1

    entries.values.clear()
    clock.advance(KNOWN_HOLD_S)
    with pytest.raises(ApiKeyInvalid):
        await keys.authenticate("", bearer(key))


async def test_an_unknown_key_is_looked_up_again_after_a_moment(
    keys: ApiKeys, entries: Entries, clock: FakeClock
) -> None:
    key = generate_key()
    for _ in range(3):
        with pytest.raises(ApiKeyInvalid):
            await keys.authenticate("", bearer(key))
    assert entries.look_ups == 1

    await keys.enrol(key, ACME)
    clock.advance(UNKNOWN_HOLD_S)
    assert (await keys.authenticate("", bearer(key))).tenant == "acme"


async def test_a_flood_of_wrong_keys_reaches_the_state_service_in_a_trickle(
    keys: ApiKeys, entries: Entries
) -> None:
    entries.open.clear()
    async with asyncio.TaskGroup() as group:
        flood = [group.create_task(refused(keys, generate_key())) for _ in range(500)]
        for _ in range(10):
            await asyncio.sleep(0)  # lets each of them run as far as it can
        assert entries.look_ups == 32
        entries.open.set()

    assert all(task.result() for task in flood)


async def test_many_calls_with_one_key_share_look_ups(keys: ApiKeys, entries: Entries) -> None:
    key = generate_key()
    await keys.enrol(key, ACME)
    async with asyncio.TaskGroup() as group:
        for _ in range(500):
            group.create_task(keys.authenticate("", bearer(key)))

    assert entries.look_ups <= 32


async def test_a_state_service_that_is_down_does_not_make_keys_invalid(
    keys: ApiKeys, entries: Entries
) -> None:
    entries.down = True

    with pytest.raises(Unavailable):
        await keys.authenticate("", bearer(generate_key()))


async def refused(keys: ApiKeys, key: str) -> bool:
    try:
        await keys.authenticate("", bearer(key))
    except ApiKeyInvalid:
        return True
    return False
