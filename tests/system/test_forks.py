"""Time travel: a run, or a session, goes on from where another one once was."""

import json
from pathlib import Path

import pytest
from harness.builders import agent, answer, ask, call, echo, gated
from harness.suite import Kit, Suite, kinds

from pentad.gateway.v1.run_service_pb2 import ForkRunRequest
from pentad.gateway.v1.session_service_pb2 import ForkSessionRequest, ListMessagesRequest
from pentad.state.v1.event_pb2 import Event, Fork
from pentad.state.v1.run_pb2 import Run, RunStatus
from pentad_chassis.clock import random_id
from pentad_chassis.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound

pytestmark = pytest.mark.system


async def fork(kit: Kit, run_id: str, seq: int, session_id: str = "", request_id: str = "") -> Run:
    """Return the fork of a run."""
    request = ForkRunRequest(
        run_id=run_id, at_seq=seq, session_id=session_id, request_id=request_id
    )
    return (await kit.client.runs.ForkRun(request)).run


async def said(kit: Kit, session: str) -> list[str]:
    request = ListMessagesRequest(session_id=session)
    found = (await kit.client.sessions.ListMessages(request)).messages
    return [message.message.text for message in found]


def journalled(events: list[Event]) -> list[Event]:
    return [event for event in events if not event.HasField("text_delta")]


def told(event: Event) -> Event:
    """Return an event without what says where it stands."""
    bare = Event()
    bare.CopyFrom(event)
    for field in ("run_id", "cursor"):
        bare.ClearField(field)
    if bare.HasField("run_created"):
        bare.run_created.ClearField("forked_from")
        bare.run_created.ClearField("traceparent")
    return bare


async def test_a_fork_at_every_event_goes_on_to_the_same_end(kit: Kit) -> None:
    await kit.apply(
        agent(
            "clerk",
            call("sum", "calculator", expression="2 + 3"),
            call("more", "calculator", "sum", expression="2 * 5"),
            answer("it is {more}", "more"),
        )
    )
    events = journalled(await kit.execute(ask("clerk")))
    source = events[0].run_id

    for seq in range(1, len(events)):
        forked = await fork(kit, source, seq)
        assert (await kit.wait(forked.run_id)).status.output == events[-1].run_completed.output
        own = journalled(await kit.tail(forked.run_id))
        assert [told(e) for e in own[:seq]] == [told(e) for e in events[:seq]]
        assert own[0].run_created.forked_from == Fork(run_id=source, seq=seq)
        assert own[seq].run_forked.fork == Fork(run_id=source, seq=seq)
        assert [event.seq for event in own] == list(range(1, len(own) + 1))
    assert journalled(await kit.tail(source)) == events


async def test_a_fork_makes_its_own_effects_from_there_on(kit: Kit, suite: Suite) -> None:
    book = f"book-{random_id()}"
    await kit.apply(
        agent(
            book,
            call("one", "notebook_append", notebook=book, line="one"),
            call("two", "notebook_append", "one", notebook=book, line="two"),
            answer("written", "two"),
        )
    )
    events = journalled(await kit.execute(ask(book)))
    behind_first = next(e.seq for e in events if e.HasField("tool_call_completed"))

    await kit.wait((await fork(kit, events[0].run_id, behind_first)).run_id)

    (notebook,) = suite.notebooks.glob(f"*/{book}.txt")
    lines = [line.rpartition(" [")[0] for line in notebook.read_text("utf-8").splitlines()]
    assert lines == ["one", "two", "two"]


async def test_a_fork_of_a_run_in_flight(kit: Kit, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    name = f"gated-{random_id()[:8]}"
    await kit.apply(gated(name, str(gate)))
    run = await kit.create(ask(name))
    async for event in kit.events(run.run_id):
        if event.HasField("tool_call_started"):
            seq = event.seq
            break

    forked = await fork(kit, run.run_id, seq)
    open_gate(gate)

    for run_id in (run.run_id, forked.run_id):
        assert (await kit.wait(run_id)).status.state == RunStatus.STATE_COMPLETED
    own = kinds(await kit.tail(forked.run_id))
    assert own[seq - 1 : seq + 3] == [
        "tool_call_started", "run_forked", "run_started", "tool_call_started",
    ]  # fmt: skip


def open_gate(path: Path) -> None:
    """Let a tool go on that waits for the file."""
    path.touch()


async def test_a_fork_of_a_run_with_a_session_has_one_of_its_own(kit: Kit) -> None:
    old, new = random_id(), random_id()
    await kit.apply(echo())
    runs = [journalled(await kit.execute(ask("echo", f"{n}", session_id=old))) for n in (1, 2, 3)]
    source, seq = runs[1][0].run_id, 2

    for session_id, words in (("", "must be set"), ("no session!", "must match")):
        with pytest.raises(InvalidArgument) as refused:
            await fork(kit, source, seq, session_id)
        assert refused.value.reason == "REQUEST_INVALID"
        (violation,) = refused.value.violations
        assert violation.field == "session_id"
        assert words in violation.description
    forked = await fork(kit, source, seq, new, "the same")
    await kit.wait(forked.run_id)

    assert await said(kit, new) == ["1", "You said: 1", "2", "You said: 2"]
    assert len(await said(kit, old)) == 6
    assert (await fork(kit, source, seq, new, "the same")).run_id == forked.run_id
    with pytest.raises(AlreadyExists) as taken:
        await fork(kit, source, seq, old)
    assert taken.value.reason == "SESSION_ALREADY_EXISTS"
    with pytest.raises(AlreadyExists) as reused:
        await fork(kit, source, seq + 1, new, "the same")
    assert reused.value.reason == "REQUEST_ID_REUSED"


async def test_a_fork_that_cannot_be_says_why(kit: Kit) -> None:
    await kit.apply(echo())
    events = journalled(await kit.execute(ask("echo")))
    run_id, last = events[0].run_id, len(events)

    for seq in (last, last + 1):
        with pytest.raises(FailedPrecondition) as ended:
            await fork(kit, run_id, seq)
        assert ended.value.reason == "FORK_AT_END"
        assert ended.value.metadata["last_seq"] == str(last)
    with pytest.raises(NotFound) as missing:
        await fork(kit, "nowhere", 1)
    assert missing.value.reason == "RUN_NOT_FOUND"
    with pytest.raises(InvalidArgument) as wrong:
        await fork(kit, run_id, 0, "s")
    assert [violation.field for violation in wrong.value.violations] == ["at_seq"]
    with pytest.raises(InvalidArgument) as needless:
        await fork(kit, run_id, 1, "s")
    assert "must be empty" in needless.value.violations[0].description


async def test_a_fork_at_an_event_that_is_not_there_yet(kit: Kit, tmp_path: Path) -> None:
    name = f"gated-{random_id()[:8]}"
    await kit.apply(gated(name, str(tmp_path / "gate")))
    run = await kit.create(ask(name))

    with pytest.raises(NotFound) as caught:
        await fork(kit, run.run_id, 1000)

    assert caught.value.reason == "EVENT_NOT_FOUND"
    assert int(caught.value.metadata["last_seq"]) < 1000
    open_gate(tmp_path / "gate")
    await kit.wait(run.run_id)


async def test_a_session_is_forked(kit: Kit) -> None:
    old, new = random_id(), random_id()
    await kit.apply(echo())
    for n in (1, 2):
        await kit.execute(ask("echo", f"{n}", session_id=old))
    request = ForkSessionRequest(session_id=old, at_seq=2, new_session_id=new, request_id="same")

    forked = (await kit.client.sessions.ForkSession(request)).session
    await kit.execute(ask("echo", "3", session_id=new))

    assert (forked.session_id, forked.last_seq) == (new, 2)
    assert await said(kit, new) == ["1", "You said: 1", "3", "You said: 3"]
    assert len(await said(kit, old)) == 4
    assert (await kit.client.sessions.ForkSession(request)).session.session_id == new
    request.request_id = ""
    with pytest.raises(AlreadyExists):
        await kit.client.sessions.ForkSession(request)
    request.at_seq, request.new_session_id = 5, random_id()
    with pytest.raises(NotFound) as caught:
        await kit.client.sessions.ForkSession(request)
    assert caught.value.reason == "MESSAGE_NOT_FOUND"
    assert caught.value.metadata["last_seq"] == "4"


@pytest.mark.parametrize("suite", ["one"], indirect=True)
def test_the_command_forks(suite: Suite) -> None:
    suite.pentad("agent", "apply", "-f", "examples/agents/clock.yaml")
    old, new, other = random_id(), random_id(), random_id()
    ran = suite.pentad(
        "run", "clock", "hi", "--session", old, "--session-policy", "reject", "--json"
    )
    run_id = json.loads(ran.stdout.splitlines()[0])["run_id"]

    forked = suite.pentad("fork", run_id, "--at", "2", "--session", new)
    assert forked.returncode == 0, forked.stderr
    assert suite.pentad("wait", forked.stdout.strip()).returncode == 0
    shown = suite.pentad("show", forked.stdout.strip(), "--events").stdout
    assert f"run forked           from run {run_id} at 2" in shown
    session = suite.pentad("session", "fork", old, "--at", "1", other)
    assert (session.returncode, session.stdout) == (0, f"{other}: 1 messages\n"), session.stderr
    assert suite.pentad("session", other).stdout == suite.pentad("session", "show", other).stdout
    assert "hi" in suite.pentad("session", new).stdout

    late = suite.pentad("fork", run_id, "--at", "99", "--session", random_id())
    assert late.returncode == 1
    assert "(FORK_AT_END)" in late.stderr
    wrong = suite.pentad("run", "clock", "hi", "--session", old, "--session-policy", "shove")
    assert wrong.returncode == 2
    assert "enqueue, reject, interrupt, roll-back" in wrong.stderr
