"""What the store promises about sessions."""

import asyncio

import pytest
from google.protobuf.duration_pb2 import Duration
from harness.runs import TENANT, seconds

from pentad.state.v1.message_pb2 import Message
from pentad.state.v1.session_pb2 import Session, SessionMessage
from pentad_chassis.errors import InvalidArgument
from pentad_state.config import Config
from pentad_state.core import StateCore
from pentad_state.errors import InvalidPageToken, PayloadTooLarge, SessionNotFound
from pentad_state.sessions import Sessions


async def add(
    core: StateCore,
    append_id: str,
    *texts: str,
    session_id: str = "s1",
    ttl: Duration | None = None,
) -> Session:
    messages = [SessionMessage(run_id=append_id, message=Message(text=text)) for text in texts]
    session = await core.sessions.append(TENANT, session_id, append_id, messages, ttl)
    assert session is not None, "nobody leaves with it"
    return session


async def window(core: StateCore, last: int = 0, count: int = 0, tokens: int = 0) -> list[str]:
    messages, _ = await core.sessions.window(TENANT, "s1", last, count, tokens)
    return [message.text for message in messages]


async def test_messages_keep_their_order_and_their_place(core: StateCore) -> None:
    first = await add(core, "a1", "one", "zwölf")
    second = await add(core, "a2", "three")

    assert (first.last_seq, second.last_seq) == (2, 3)
    assert second.create_time == first.create_time
    assert second.expire_time.seconds - second.update_time.seconds == 30 * 24 * 3600
    assert await core.sessions.get(TENANT, "s1") == second
    messages, token = await core.sessions.list_messages(TENANT, "s1", 0, "")
    assert token == ""
    assert [(m.seq, m.run_id, m.message.text) for m in messages] == [
        (1, "a1", "one"),
        (2, "a1", "zwölf"),
        (3, "a2", "three"),
    ]


async def test_a_repeated_append_changes_nothing(core: StateCore) -> None:
    first = await add(core, "a1", "one")
    await add(core, "a2", "two")

    assert (await add(core, "a1", "one")).last_seq == 2
    assert await window(core) == ["one", "two"]
    assert first.last_seq == 1


async def test_concurrent_appends_stay_in_one_piece(core: StateCore) -> None:
    await asyncio.gather(*(add(core, f"a{i}", f"{i}.1", f"{i}.2", f"{i}.3") for i in range(20)))

    texts = await window(core)

    assert len(texts) == 60
    for i in range(0, 60, 3):
        writer = texts[i].split(".")[0]
        assert texts[i : i + 3] == [f"{writer}.1", f"{writer}.2", f"{writer}.3"]


async def test_a_window_holds_the_newest_that_fit(core: StateCore) -> None:
    for i in range(1, 121):
        await add(core, f"a{i}", f"message {i:04d}")
    size = Message(text="message 0001").ByteSize()

    assert await window(core, count=2) == ["message 0119", "message 0120"]
    assert len(await window(core)) == 100
    assert len(await window(core, count=1000)) == 120
    assert await window(core, last=3) == ["message 0001", "message 0002", "message 0003"]
    assert await window(core, last=60, count=1) == ["message 0060"]
    assert len(await window(core, tokens=size)) == 4
    assert await window(core, tokens=1) == []
    _, last = await core.sessions.window(TENANT, "s1", 7, 1, 0)
    assert last == 7
    _, last = await core.sessions.window(TENANT, "s1", 0, 1, 0)
    assert last == 120


async def test_a_session_that_does_not_exist_has_an_empty_window(core: StateCore) -> None:
    assert await core.sessions.window(TENANT, "nope", 0, 0, 0) == ([], 0)
    with pytest.raises(SessionNotFound):
        await core.sessions.get(TENANT, "nope")
    with pytest.raises(SessionNotFound):
        await core.sessions.list_messages(TENANT, "nope", 0, "")


async def test_the_oldest_messages_go_first_and_places_stay(core: StateCore) -> None:
    sessions = Sessions(core.sessions._store, Config(session_messages_max=1000))
    for i in range(11):
        some = [SessionMessage(message=Message(text=f"{i}.{j}")) for j in range(100)]
        session = await sessions.append(TENANT, "s1", f"a{i}", some, None)

    assert session is not None
    assert session.last_seq == 1100
    messages, _ = await sessions.list_messages(TENANT, "s1", 2, "")
    assert [(m.seq, m.message.text) for m in messages] == [(101, "1.0"), (102, "1.1")]
    found, last = await sessions.window(TENANT, "s1", 102, 10, 0)
    assert ([m.text for m in found], last) == (["1.0", "1.1"], 102)


async def test_messages_are_listed_in_pages(core: StateCore) -> None:
    for i in range(1, 8):
        await add(core, f"a{i}", str(i))
    seqs: list[int] = []
    token = ""
    for _ in range(10):
        messages, token = await core.sessions.list_messages(TENANT, "s1", 3, token)
        seqs += [m.seq for m in messages]
        if not token:
            break

    assert seqs == list(range(1, 8))
    _, token = await core.sessions.list_messages(TENANT, "s1", 3, "")
    await add(core, "b", "x", session_id="s2")
    with pytest.raises(InvalidPageToken):
        await core.sessions.list_messages(TENANT, "s2", 3, token)


async def test_sessions_are_listed_by_their_last_use(core: StateCore) -> None:
    for i in range(12):
        await add(core, "a", "x", session_id=f"s{i:02d}")
        await asyncio.sleep(0.002)
    await add(core, "b", "y", session_id="s03")

    found: list[str] = []
    token = ""
    for _ in range(20):
        sessions, token = await core.sessions.list_sessions(TENANT, 5, token)
        found += [session.session_id for session in sessions]
        if not token:
            break

    expected = [f"s{i:02d}" for i in range(11, -1, -1) if i != 3]
    assert found == ["s03", *expected]
    assert await core.sessions.list_sessions("other", 5, "") == ([], "")


async def test_a_session_is_forgotten_when_it_is_not_used(core: StateCore) -> None:
    await add(core, "a1", "one", ttl=seconds(0.15))
    await asyncio.sleep(0.1)
    await add(core, "a2", "two", ttl=seconds(0.15))
    await asyncio.sleep(0.1)
    assert await window(core) == ["one", "two"]

    await asyncio.sleep(0.15)

    assert await window(core) == []
    assert (await core.sessions.list_sessions(TENANT, 5, ""))[0] == []
    assert (await add(core, "a1", "again")).last_seq == 1


async def test_a_deleted_session_is_gone_and_may_begin_anew(core: StateCore) -> None:
    await add(core, "a1", "one")

    await core.sessions.delete(TENANT, "s1")
    await core.sessions.delete(TENANT, "s1")

    assert (await core.sessions.list_sessions(TENANT, 5, ""))[0] == []
    assert (await add(core, "a1", "one")).last_seq == 1


async def test_bounds_are_refused_with_their_field(core: StateCore) -> None:
    with pytest.raises(PayloadTooLarge) as caught:
        await add(core, "a", "x" * 1024 * 1024)
    assert caught.value.metadata["field"] == "messages"
    for ttl in (seconds(0), seconds(401 * 24 * 3600)):
        with pytest.raises(InvalidArgument):
            await add(core, "a", "x", ttl=ttl)
    with pytest.raises(InvalidArgument):
        await add(core, "a")
    with pytest.raises(InvalidArgument):
        await add(core, "", "x")
