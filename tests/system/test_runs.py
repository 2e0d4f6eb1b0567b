"""What a caller gets for a run, good or bad, on one process and on five."""

import re
import uuid
from pathlib import Path

import pytest
from harness.builders import agent, answer, ask, call, echo, gated, writer
from harness.suite import BOTH_TRANSPORTS, Kit, Suite, example_spec, kinds

from pentad.gateway.v1.run_service_pb2 import (
    CancelRunRequest,
    ListRunsRequest,
    TailRunRequest,
)
from pentad.gateway.v1.run_service_pb2_grpc import RunServiceStub
from pentad.gateway.v1.session_service_pb2 import ListMessagesRequest
from pentad.gateway.v1.tool_service_pb2 import ListToolsRequest
from pentad.state.v1.run_pb2 import RunSpec, RunStatus
from pentad_chassis.channel import open_channel, reading
from pentad_chassis.config import Settings
from pentad_chassis.errors import AlreadyExists, NotFound, ServiceError, Unauthenticated
from pentad_chassis.telemetry import silent_telemetry

pytestmark = [
    pytest.mark.system,
    pytest.mark.parametrize("suite", BOTH_TRANSPORTS, indirect=True),
]


async def test_a_simple_run_streams_its_events_and_its_answer(kit: Kit) -> None:
    events = await kit.execute(ask("clock", "What time is it in Asia/Tokyo?"))

    assert kinds(events) == [
        "run_created",
        "run_started",
        "turn_started",
        "turn_completed",
        "tool_call_started",
        "tool_call_completed",
        "turn_started",
        "turn_completed",
        "run_completed",
    ]
    assert events[-1].run_completed.output.startswith("In Asia/Tokyo it is ")
    run = await kit.get(events[0].run_id)
    assert run.status.state == RunStatus.STATE_COMPLETED
    assert run.status.output == events[-1].run_completed.output
    assert (run.status.turns, run.status.tool_calls) == (2, 1)
    assert run.last_seq == events[-1].seq


async def test_the_examples_job_computes_its_figures_and_writes_one_note(
    kit: Kit, suite: Suite
) -> None:
    notes = suite.notebooks.glob("*/tickets.txt")
    before = [line for note in notes for line in note.read_text("utf-8").splitlines()]

    events = await kit.execute(example_spec("ticket-report"))

    output = events[-1].run_completed.output
    assert "The backlog holds 33 tickets" in output
    assert "Checkout has the most with 11, 33.3 % of it." in output
    assert "Customers of Billing wait longest: 72.3 hours on average" in output
    assert kinds(events).count("tool_call_completed") == 10
    assert kinds(events).count("step_completed") == 4
    (note,) = suite.notebooks.glob("*/tickets.txt")
    after = note.read_text("utf-8").splitlines()
    assert len(after) == len(before) + 1
    assert events[0].run_id in after[-1]


async def test_a_session_remembers_what_its_runs_said(kit: Kit) -> None:
    session_id = f"chat-{uuid.uuid4()}"
    await kit.apply(echo())

    for text in ("first", "second"):
        await kit.execute(ask("echo", text, session_id=session_id))

    request = ListMessagesRequest(session_id=session_id)
    messages = (await kit.client.sessions.ListMessages(request)).messages
    assert [m.message.text for m in messages] == [
        "first",
        "You said: first",
        "second",
        "You said: second",
    ]
    assert [m.seq for m in messages] == [1, 2, 3, 4]


async def test_a_cancelled_run_ends_with_its_reason_and_does_no_more(
    kit: Kit, tmp_path: Path
) -> None:
    await kit.apply(gated("waits", str(tmp_path / "never")))
    run = await kit.create(ask("waits"))
    cancelled = False

    events = []
    async for event in kit.events(run.run_id):
        events.append(event)
        if event.WhichOneof("kind") == "tool_call_started":
            request = CancelRunRequest(run_id=run.run_id, reason="changed my mind")
            await kit.client.runs.CancelRun(request)
            cancelled = True

    assert cancelled
    assert kinds(events)[-1] == "run_cancelled"
    assert events[-1].run_cancelled.reason == "changed my mind"
    ended = await kit.wait(run.run_id)
    assert ended.status.state == RunStatus.STATE_CANCELLED
    assert ended.status.cancel_reason == "changed my mind"


async def test_cancelling_a_run_that_has_ended_changes_nothing(kit: Kit) -> None:
    await kit.apply(echo())
    events = await kit.execute(ask("echo"))

    request = CancelRunRequest(run_id=events[0].run_id, reason="too late")
    run = (await kit.client.runs.CancelRun(request)).run

    assert run.status.state == RunStatus.STATE_COMPLETED
    assert kinds(await kit.tail(run.run_id)) == kinds(events)


async def test_a_request_id_names_one_run(kit: Kit, suite: Suite) -> None:
    name = f"once-{uuid.uuid4().hex[:8]}"
    await kit.apply(writer(name, 1))
    request_id = str(uuid.uuid4())

    first = await kit.create(ask(name), request_id)
    again = await kit.create(ask(name), request_id)
    await kit.wait(first.run_id)
    once_more = await kit.execute(ask(name), request_id)

    assert first.run_id == again.run_id == once_more[0].run_id
    (notebook,) = suite.notebooks.glob(f"*/{name}.txt")
    assert len(notebook.read_text("utf-8").splitlines()) == 1


async def test_a_request_id_with_another_body_is_refused(kit: Kit) -> None:
    await kit.apply(echo())
    request_id = str(uuid.uuid4())
    await kit.create(ask("echo", "one thing"), request_id)

    with pytest.raises(AlreadyExists) as caught:
        await kit.create(ask("echo", "another thing"), request_id)

    assert caught.value.reason == "REQUEST_ID_REUSED"


@pytest.mark.parametrize(
    ("spec", "reason", "field"),
    [
        (ask("nobody"), "AGENT_NOT_FOUND", ""),
        (RunSpec(capability="mind.reading", input="x"), "CAPABILITY_NOT_FOUND", ""),
        (ask("clock", ""), "REQUEST_INVALID", "spec.input"),
        (RunSpec(input="x"), "REQUEST_INVALID", "spec.agent"),
        (ask("clock", "x" * (256 * 1024 + 1)), "REQUEST_INVALID", "spec.input"),
        (ask("clock", session_id="no spaces"), "REQUEST_INVALID", "spec.session_id"),
        (ask("NOT A NAME"), "REQUEST_INVALID", "spec.agent"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_bad_input_is_refused_with_reason_and_field_and_starts_nothing(
    kit: Kit, spec: RunSpec, reason: str, field: str
) -> None:
    newest = ListRunsRequest(page_size=1)
    before = (await kit.client.runs.ListRuns(newest)).runs

    with pytest.raises(ServiceError) as caught:
        await kit.create(spec)

    assert caught.value.reason == reason
    assert [v.field for v in caught.value.violations] == ([field] if field else [])
    after = (await kit.client.runs.ListRuns(newest)).runs
    assert [r.run_id for r in after] == [r.run_id for r in before]


async def test_a_cursor_of_nowhere_is_refused(kit: Kit) -> None:
    await kit.apply(echo())
    events = await kit.execute(ask("echo"))

    with pytest.raises(ServiceError) as caught:
        await kit.tail(events[0].run_id, after="not-a-cursor")

    assert caught.value.reason == "INVALID_CURSOR"


async def test_a_run_that_does_not_exist_is_not_found(kit: Kit) -> None:
    with pytest.raises(NotFound) as caught:
        await kit.tail("00" + "0" * 26)

    assert caught.value.reason == "RUN_NOT_FOUND"


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ((), "API_KEY_MISSING"),
        ((("authorization", "Basic abc"),), "API_KEY_MISSING"),
        ((("authorization", "Bearer pentad_" + "x" * 43),), "API_KEY_INVALID"),
        ((("authorization", "Bearer nonsense"),), "API_KEY_INVALID"),
    ],
    ids=["none", "basic", "wrong", "nonsense"],
)
async def test_without_a_valid_key_nothing_is_answered(
    suite: Suite, metadata: tuple[tuple[str, str], ...], reason: str
) -> None:
    telemetry = silent_telemetry("test")
    async with open_channel(
        "gateway", suite.address, Settings(), telemetry, metadata=metadata
    ) as channel:
        stub = RunServiceStub(channel)
        with pytest.raises(Unauthenticated) as unary:
            await stub.ListRuns(ListRunsRequest())
        request = TailRunRequest(run_id="00" + "0" * 26)
        async with reading(stub.TailRun(request)) as responses:
            with pytest.raises(Unauthenticated) as stream:
                await anext(responses)

    assert unary.value.reason == stream.value.reason == reason


async def test_arguments_that_break_the_schema_are_fed_back_and_then_it_ends(kit: Kit) -> None:
    """The rules model asks once; its next rule answers, so feedback is what is seen here."""
    wrong = {"file": "tickets.csv", "limit": "many"}
    await kit.apply(
        agent("wrong", call("ask", "csv_query", **wrong), answer("never", "ask"),
              answer("I was told: {ask}", after_failure="ask"))
    )  # fmt: skip

    events = await kit.execute(ask("wrong"))

    (outcome,) = [e.tool_call_completed for e in events if e.HasField("tool_call_completed")]
    assert outcome.error.reason == "TOOL_ARGUMENTS_INVALID"
    assert "limit" in outcome.error.message
    assert "I was told: " in events[-1].run_completed.output


async def test_a_model_that_never_gets_the_arguments_right_is_stopped(kit: Kit) -> None:
    wrong = {"file": "tickets.csv", "limit": "many"}
    rules = [call(f"try{n}", "csv_query", **wrong) for n in range(9)]
    await kit.apply(agent("stubborn", *rules, answer("never")))

    events = await kit.execute(ask("stubborn"))

    assert events[-1].run_failed.failure.reason == "TOOL_ARGUMENTS_INVALID"
    assert kinds(events).count("tool_call_completed") == 4


@pytest.mark.parametrize(
    "path", ["../../../etc/passwd", "/etc/passwd", "tickets.csv/../../x.csv", "..", "\x00"]
)
async def test_a_path_that_escapes_the_folder_is_refused(kit: Kit, path: str) -> None:
    await kit.apply(
        agent("thief", call("steal", "csv_query", file=path), answer("ha: {steal}", "steal"),
              answer("no: {steal}", after_failure="steal"))
    )  # fmt: skip

    events = await kit.execute(ask("thief"))

    assert events[-1].run_completed.output.startswith("no: ")
    assert "root:" not in events[-1].run_completed.output


async def test_a_run_ends_at_its_limits(kit: Kit) -> None:
    await kit.apply(writer("busy", 5))
    spec = ask("busy")
    spec.limits.max_tool_calls = 2

    events = await kit.execute(spec)

    assert events[-1].run_failed.failure.reason == "TOOL_CALL_LIMIT_REACHED"
    assert kinds(events).count("tool_call_completed") == 2


async def test_a_run_ends_when_its_time_is_over(kit: Kit, tmp_path: Path) -> None:
    await kit.apply(gated("slow", str(tmp_path / "never")))
    spec = ask("slow")
    spec.limits.wall_time.FromSeconds(1)

    events = await kit.execute(spec)

    assert "deadline_reached" in kinds(events)
    assert events[-1].run_failed.failure.reason == "WALL_TIME_REACHED"


async def test_runs_are_listed_newest_first_and_by_session(kit: Kit) -> None:
    await kit.apply(echo())
    session_id = f"list-{uuid.uuid4()}"
    ids = [(await kit.create(ask("echo", n, session_id=session_id))).run_id for n in "abc"]

    page = await kit.client.runs.ListRuns(ListRunsRequest(session_id=session_id, page_size=2))
    request = ListRunsRequest(session_id=session_id, page_token=page.next_page_token)
    rest = await kit.client.runs.ListRuns(request)

    assert [run.run_id for run in [*page.runs, *rest.runs]] == ids[::-1]
    assert not rest.next_page_token
    for run_id in ids:
        await kit.wait(run_id)


async def test_the_catalogue_says_what_tools_take_and_cause(kit: Kit) -> None:
    tools = (await kit.client.tools.ListTools(ListToolsRequest())).tools

    names = [tool.name for tool in tools]
    assert {"calculator", "csv_query", "notebook_append"} <= set(names)
    assert names == sorted(names)
    assert all(re.search(r"\w", tool.description) for tool in tools)
