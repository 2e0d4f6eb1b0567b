"""What the store promises about entries."""

import asyncio

import pytest
from harness.engines import ask
from harness.runs import seconds

from pentad_chassis.errors import InvalidArgument
from pentad_state.core import StateCore
from pentad_state.errors import (
    EntryNotFound,
    InvalidPageToken,
    PayloadTooLarge,
    VersionMismatch,
)
from pentad_state.partitions import key, partition_of


async def test_an_entry_is_what_was_put_with_its_version(core: StateCore) -> None:
    value = bytes(range(256))

    first = await core.entries.put("keys", "a", value, None, None)
    second = await core.entries.put("keys", "a", b"", None, None)

    assert (first.version, first.value) == (1, b"")
    assert second.version == 2
    assert second.create_time == first.create_time
    assert await core.entries.get("keys", "a") == second
    await core.entries.put("keys", "b", value, 0, None)
    assert (await core.entries.get("keys", "b")).value == value


async def test_a_put_needs_the_version_it_expects(core: StateCore) -> None:
    await core.entries.put("keys", "a", b"1", 0, None)

    with pytest.raises(VersionMismatch) as caught:
        await core.entries.put("keys", "a", b"2", 0, None)
    assert caught.value.metadata["actual_version"] == "1"
    with pytest.raises(VersionMismatch):
        await core.entries.put("keys", "b", b"2", 1, None)
    assert (await core.entries.put("keys", "a", b"2", 1, None)).version == 2


async def test_of_many_writers_one_wins(core: StateCore) -> None:
    async def write(i: int) -> bool:
        try:
            await core.entries.put("keys", "a", b"%d" % i, 0, None)
        except VersionMismatch:
            return False
        return True

    assert sum(await asyncio.gather(*(write(i) for i in range(20)))) == 1


async def test_scopes_are_apart_whatever_their_names(core: StateCore) -> None:
    await core.entries.put("a", "b:c", b"1", None, None)
    await core.entries.put("a:b", "c", b"2", None, None)
    await core.entries.put("a}", "{b", b"3", None, None)

    assert (await core.entries.get("a", "b:c")).value == b"1"
    assert (await core.entries.get("a:b", "c")).value == b"2"
    assert (await core.entries.get("a}", "{b")).value == b"3"


async def test_an_entry_is_forgotten_after_its_time(core: StateCore, engine: str) -> None:
    entry = await core.entries.put("keys", "a", b"1", None, seconds(0.1))
    kept = await core.entries.put("keys", "b", b"1", None, seconds(0.1))
    kept = await core.entries.put("keys", "b", b"2", None, None)
    assert entry.HasField("expire_time")
    assert not kept.HasField("expire_time")

    await asyncio.sleep(0.15)

    with pytest.raises(EntryNotFound):
        await core.entries.get("keys", "a")
    assert [e.key for e in (await core.entries.list_entries("keys", "", 10, ""))[0]] == ["b"]
    assert (await core.entries.put("keys", "c", b"", 0, None)).version == 1
    assert ask(engine, "ZCARD", key(partition_of("keys"), "entries", "keys")) == 2
    assert (await core.entries.put("keys", "a", b"3", 0, None)).version == 1


async def test_a_delete_may_expect_a_version_and_be_repeated(core: StateCore) -> None:
    await core.entries.put("keys", "a", b"1", None, None)

    with pytest.raises(VersionMismatch):
        await core.entries.delete("keys", "a", 2)
    await core.entries.delete("keys", "a", 1)
    await core.entries.delete("keys", "a", 1)

    with pytest.raises(EntryNotFound):
        await core.entries.get("keys", "a")
    assert await core.entries.list_entries("keys", "", 10, "") == ([], "")


async def test_entries_are_listed_by_key_in_pages(core: StateCore) -> None:
    names = [f"{prefix}/{i:03d}" for prefix in ("a", "ä", "b") for i in range(25)]
    for name in reversed(names):
        await core.entries.put("keys", name, b"x", None, None)

    assert await listed(core, "", 7) == sorted(names, key=str.encode)
    assert await listed(core, "a/", 8) == names[:25]
    assert await listed(core, "ä", 100) == names[25:50]
    assert await listed(core, "c", 8) == []
    _, token = await core.entries.list_entries("keys", "a", 2, "")
    with pytest.raises(InvalidPageToken):
        await core.entries.list_entries("keys", "b", 2, token)


async def test_a_page_of_large_entries_fits_into_a_message(core: StateCore) -> None:
    for i in range(20):
        await core.entries.put("keys", f"{i:02d}", b"x" * 256 * 1024, None, None)

    entries, token = await core.entries.list_entries("keys", "", 100, "")

    assert token
    assert sum(entry.ByteSize() for entry in entries) < 4 * 1024 * 1024
    assert len(await listed(core, "", 100)) == 20


async def test_bounds_are_refused_with_their_field(core: StateCore) -> None:
    with pytest.raises(PayloadTooLarge) as caught:
        await core.entries.put("keys", "a", b"x" * (256 * 1024 + 1), None, None)
    assert caught.value.metadata["field"] == "value"
    with pytest.raises(PayloadTooLarge):
        await core.entries.put("keys", "x" * 513, b"", None, None)
    with pytest.raises(InvalidArgument):
        await core.entries.put("", "a", b"", None, None)
    with pytest.raises(InvalidArgument):
        await core.entries.put("keys", "a", b"", None, seconds(-1))


async def listed(core: StateCore, prefix: str, size: int) -> list[str]:
    found: list[str] = []
    token = ""
    for _ in range(100):
        entries, token = await core.entries.list_entries("keys", prefix, size, token)
        assert len(entries) <= size
        found += [entry.key for entry in entries]
        if not token:
            return found
    raise AssertionError("the list has no end")
