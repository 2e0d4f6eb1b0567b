"""Workflows through the public API: stored, run, waited on, cancelled, drawn."""

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from harness.builders import agent, answer
from harness.suite import Kit, Suite, kinds, until

from pentad.gateway.v1.approval_service_pb2 import DecideApprovalRequest
from pentad.gateway.v1.run_service_pb2 import CancelRunRequest
from pentad.gateway.v1.workflow_service_pb2 import (
    ApplyWorkflowRequest,
    DeleteWorkflowRequest,
    GetWorkflowRequest,
    ListWorkflowsRequest,
    ValidateWorkflowRequest,
)
from pentad.state.v1.approval_pb2 import Decision
from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.run_pb2 import Run, RunSpec, RunStatus
from pentad.state.v1.workflow_pb2 import Workflow, WorkflowSpec
from pentad_chassis.errors import Aborted, InvalidArgument, NotFound

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
TRIP = ROOT / "examples" / "workflows" / "trip.yaml"


def workflow(nodes: dict[str, Any], *edges: str, **fields: Any) -> WorkflowSpec:
    """Return a workflow."""
    return ParseDict(
        {
            "nodes": [{"name": name, **node} for name, node in nodes.items()],
            "edges": [dict(zip(("from", "to"), edge.split(), strict=True)) for edge in edges],
            **fields,
        },
        WorkflowSpec(),
    )


def note(line: str, **fields: Any) -> dict[str, Any]:
    """Return a node that writes a line, and takes that back with another."""

    def call(text: str) -> dict[str, Any]:
        return {"name": "notebook_append", "arguments": {"notebook": "flow", "line": text}}

    undo = {"tool": call(f"not {line}")}
    return {"tool": call(line), "compensation": undo, **fields}


async def applied(kit: Kit, name: str, spec: WorkflowSpec, expected: int = 0) -> Workflow:
    request = ApplyWorkflowRequest(name=name, spec=spec, expected_version=expected)
    return (await kit.client.workflows.ApplyWorkflow(request)).workflow


async def waiting(kit: Kit, run_id: str) -> Run:
    """Return the run once it waits, and nobody holds it."""

    async def waits() -> bool:
        return (await kit.get(run_id)).status.state == RunStatus.STATE_WAITING

    await until(waits, 30.0, f"run {run_id} waits")
    return await kit.get(run_id)


async def decide(kit: Kit, run: Run, verdict: "Decision.Verdict.ValueType") -> None:
    (approval_id,) = run.status.waiting.approval_ids
    request = DecideApprovalRequest(approval_id=approval_id, verdict=verdict, comment="so be it")
    await kit.client.approvals.DecideApproval(request)


def undone(events: list[Event]) -> list[str]:
    return [e.compensation_completed.path for e in events if e.HasField("compensation_completed")]


async def test_a_stored_workflow_has_versions(kit: Kit) -> None:
    stub = kit.client.workflows
    first = await applied(kit, "stored", workflow({"a": note("x")}))
    assert (await applied(kit, "stored", first.spec)).version == first.version
    second = await applied(kit, "stored", workflow({"b": note("x")}), first.version)
    assert second.version == first.version + 1
    with pytest.raises(Aborted) as late:
        await applied(kit, "stored", workflow({"c": note("x")}), first.version)
    assert late.value.reason == "VERSION_MISMATCH"

    found = (await stub.GetWorkflow(GetWorkflowRequest(name="stored"))).workflow
    assert found.spec == second.spec
    page = await stub.ListWorkflows(ListWorkflowsRequest())
    assert "stored" in [each.name for each in page.workflows]
    await stub.DeleteWorkflow(DeleteWorkflowRequest(name="stored"))
    with pytest.raises(NotFound) as gone:
        await stub.GetWorkflow(GetWorkflowRequest(name="stored"))
    assert gone.value.reason == "WORKFLOW_NOT_FOUND"
    with pytest.raises(NotFound):
        await kit.create(RunSpec(workflow_name="stored"))


async def test_a_run_waits_for_a_person_on_the_version_it_was_created_with(kit: Kit) -> None:
    await kit.apply(agent("echo", answer("You said: {input}")))
    asked = {"approval": {"question": "Go on with ${input.what}?"}}
    echo = {"agent": {"name": "echo", "input": "${nodes.ok.output.comment} ${input.what}"}}
    await applied(kit, "gated", workflow({"ok": asked, "say": echo}, "ok say"))
    run = await waiting(kit, (await kit.create(
        RunSpec(workflow_name="gated", input='{"what": "it"}'))).run_id)  # fmt: skip
    await applied(kit, "gated", workflow({"other": note("x")}))
    await decide(kit, run, Decision.VERDICT_APPROVED)

    assert (await kit.wait(run.run_id)).status.output == "You said: so be it it"


async def test_what_a_person_refuses_is_taken_back(kit: Kit) -> None:
    nodes = {"a": note("a"), "each": {"map": {"over": "[1, 2]", "tool": note("m")["tool"]},
             "compensation": note("m")["compensation"]},
             "ok": {"approval": {"question": "Well?"}}}  # fmt: skip
    spec = RunSpec(graph=workflow(nodes, "a each", "each ok"))
    run = await waiting(kit, (await kit.create(spec)).run_id)
    await decide(kit, run, Decision.VERDICT_REFUSED)
    ended = await kit.wait(run.run_id)
    events = await kit.tail(run.run_id)

    assert ended.status.failure.reason == "APPROVAL_REFUSED"
    done = [e.node_completed.path for e in events if e.HasField("node_completed")]
    assert undone(events) == [path for path in reversed(done) if path != "each"]
    assert list(ended.status.unwinding.compensated) == undone(events)


async def test_a_cancel_takes_back_too(kit: Kit, tmp_path: Path) -> None:
    gate = {"tool": {"name": "gate", "arguments": {"path": str(tmp_path / "gate")}}}
    run = await kit.create(RunSpec(graph=workflow({"a": note("a"), "b": gate}, "a b")))
    async for event in kit.events(run.run_id):
        if event.tool_call_started.tool == "gate":
            break
    await kit.client.runs.CancelRun(CancelRunRequest(run_id=run.run_id, reason="enough"))
    (tmp_path / "gate").touch()
    ended = await kit.wait(run.run_id)

    assert (ended.status.state, ended.status.cancel_reason) == (
        RunStatus.STATE_CANCELLED, "enough",
    )  # fmt: skip
    assert undone(await kit.tail(run.run_id)) == ["a"]


async def test_what_a_workflow_started_ends_with_it(kit: Kit) -> None:
    inner = {"nodes": [{"name": "wait", "sleep": {"duration": "3600s"}}]}
    spec = RunSpec(graph=workflow({"sub": {"workflow": {"inline": inner}}}))
    run = await kit.create(spec)
    child = ""
    async for event in kit.events(run.run_id):
        if event.HasField("child_started"):
            child = event.child_started.run_id
            break
    await kit.client.runs.CancelRun(CancelRunRequest(run_id=run.run_id))

    assert (await kit.wait(child)).status.state == RunStatus.STATE_CANCELLED
    assert (await kit.wait(run.run_id)).status.state == RunStatus.STATE_CANCELLED
    assert (await kit.get(child)).parent_run_id == run.run_id


async def test_all_that_is_wrong_is_told_at_once(kit: Kit) -> None:
    spec = workflow(
        {
            "a": {"agent": {"name": "nobody", "input": "${nodes.z.output}"}},
            "b": {"tool": {"name": "fly"}},
        },
        "a b",
        "b a",
    )
    wanted = {"nodes[0].agent.name", "nodes[0].agent.input", "nodes[1].tool.name", "edges[0]"}
    response = await kit.client.workflows.ValidateWorkflow(ValidateWorkflowRequest(spec=spec))
    assert {p.field.removeprefix("spec.") for p in response.problems} == wanted
    with pytest.raises(InvalidArgument) as refused:
        await kit.create(RunSpec(graph=spec))
    assert {v.field.removeprefix("spec.graph.") for v in refused.value.violations} == wanted

    missing = workflow({"a": {"agent": {"name": "nobody", "input": "x"}}})
    with pytest.raises(InvalidArgument) as absent:
        await kit.create(RunSpec(graph=missing))
    assert absent.value.reason == "WORKFLOW_INVALID"
    assert [v.field for v in absent.value.violations] == ["spec.graph.nodes[0].agent.name"]


async def test_much_that_follows_at_once_is_journalled_in_pieces(kit: Kit) -> None:
    await kit.apply(agent("echo", answer("You said: {input}")))
    echo = {"agent": {"name": "echo", "input": "${input}"}}
    nodes = {"first": {"sleep": {"duration": "0s"}}, **{f"n{i}": echo for i in range(8)}}
    edges = (f"first n{i}" for i in range(8))
    spec = workflow(nodes, *edges, output="nodes.n7.text.size()")
    run = await kit.create(RunSpec(graph=spec, input="x" * 150_000))

    assert (await kit.wait(run.run_id)).status.output == str(150_000 + len("You said: "))


def test_the_command_stores_runs_and_draws_a_workflow(suite: Suite) -> None:
    agents = suite.pentad("agent", "apply", "-f", "examples/agents/travel.yaml")
    assert agents.returncode == 0, agents.stderr
    applied_ = suite.pentad("workflow", "apply", str(TRIP))
    assert applied_.stdout.startswith("workflow trip "), applied_.stderr
    given = json.dumps({"who": "ada", "cities": ["Rome", "Oslo"], "budget": 900})
    ran = suite.pentad("workflow", "run", "trip", "--input", given)
    assert ran.stdout.startswith("Dear ada, your trip is booked"), ran.stderr
    assert "node skipped         approval" in ran.stderr

    run_id = suite.pentad("runs", "--limit", "20").stdout
    run_id = next(line.split("\t")[0] for line in run_id.splitlines() if "workflow trip" in line)
    drawn = suite.pentad("workflow", "graph", "--run", run_id).stdout.splitlines()
    assert drawn[0].startswith("✓ flight")
    assert any(line.startswith("- approval") for line in drawn)


def test_the_command_says_what_is_wrong_with_a_workflow(suite: Suite, tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text("name: wrong\nnodes: [{name: a, tool: {name: fly}}]\nedges: [{from: a, to: b}]")
    wrong = suite.pentad("workflow", "validate", str(file))
    assert wrong.returncode == 1
    assert "edges[0].to: must name a node" in wrong.stdout
    assert "nodes[0].tool.name: no tool 'fly'" in wrong.stdout
    refused = suite.pentad("workflow", "apply", str(file))
    assert "edges[0].to: must name a node (REQUEST_INVALID)" in refused.stderr


async def test_a_workflow_is_one_run_for_its_request_id(kit: Kit) -> None:
    spec = RunSpec(graph=workflow({"a": note("once")}))
    first = await kit.create(spec, request_id="flow-once")
    assert (await kit.create(spec, request_id="flow-once")).run_id == first.run_id
    events = await kit.tail(first.run_id)

    assert kinds(events)[-1] == "run_completed"
