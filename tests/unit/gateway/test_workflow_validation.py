"""All that is wrong with a workflow is said at once, and where."""

from typing import Any

import pytest
from google.protobuf.json_format import ParseDict

from pentad.gateway.v1.run_service_pb2 import CreateRunRequest
from pentad.gateway.v1.workflow_service_pb2 import ApplyWorkflowRequest, ListWorkflowsRequest
from pentad.state.v1.workflow_pb2 import WorkflowSpec
from pentad_gateway import validation
from pentad_gateway.validation.bounds import Bounds
from pentad_gateway.validation.workflows import check_workflow

TOOL: dict[str, Any] = {"tool": {"name": "do"}}


def problems(**spec: Any) -> dict[str, str]:
    """Return what is wrong, by field."""
    bounds = Bounds()
    check_workflow(bounds, "spec", ParseDict(spec, WorkflowSpec()))
    return {v.field.removeprefix("spec."): v.description for v in bounds.violations}


def node(name: str = "a", **fields: Any) -> dict[str, Any]:
    return {"name": name, **(fields or TOOL)}


def edge(ends: str, **fields: Any) -> dict[str, Any]:
    return {"from": ends.split(maxsplit=1)[0], "to": ends.split()[1], **fields}


def test_a_workflow_of_every_kind_of_node_is_right() -> None:
    agent = {"name": "clerk", "input": "Do ${input.what}"}
    assert problems(
        description="all of it",
        nodes=[
            node("a", agent=agent, timeout="60s", output="output.x",
                 retry={"max_attempts": 3, "backoff": "1s", "reasons": ["MODEL_UNAVAILABLE"]},
                 compensation={"tool": {"name": "undo", "arguments": {"x": "${output}"}}}),
            node("b", tool={"name": "do", "arguments": {"n": [1, "${nodes.a.output}"]}}),
            node("c", approval={"question": "Go on with ${nodes.b.text}?", "show": "nodes.a.output",
                                "policy": {"approvers": ["ann"], "expire_after": "60s"}}),
            node("d", sleep={"duration": "60s"}),
            node("e", sleep={"until": "${nodes.b.output.at}"}, join="JOIN_ANY"),
            node("f", map={"over": "nodes.a.output", "parallelism": 64, "first": 2,
                           "agent": {"capability": "sums", "input": "${index}: ${item}"}},
                 compensation={"agent": {"name": "clerk", "input": "${item}"}}),
            node("g", workflow={"name": "other", "input": "${input}"}),
            node("h", workflow={"inline": {"nodes": [node()]}}),
        ],
        edges=[
            edge("a b", condition="nodes.a.output > 2 && iteration < 3"),
            edge("a c", otherwise=True),
            edge("b a", condition="iteration < 3", max_iterations=3),
            *(edge(f"b {name}") for name in "defgh"),
        ],
        output="{'b': nodes.b.output}",
    ) == {}  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "field", "says"),
    [
        ({}, "nodes", "must hold 1 to 200"),
        ({"nodes": [node(f"n{i}") for i in range(201)]}, "nodes", "must hold 1 to 200"),
        ({"nodes": [node("A")]}, "nodes[0].name", "must match"),
        ({"nodes": [node("in")]}, "nodes[0].name", "word of expressions"),
        ({"nodes": [node(), node()]}, "nodes[1].name", "must differ from that of index 0"),
        ({"nodes": [{"name": "a"}]}, "nodes[0]", "must hold one of agent, tool, approval"),
        ({"nodes": [node(tool={"name": ""})]}, "nodes[0].tool.name", "must match"),
        ({"nodes": [node(agent={"input": "x"})]}, "nodes[0].agent.name", "must be set, or"),
        ({"nodes": [node(agent={"name": "x"})]}, "nodes[0].agent.input", "must not be empty"),
        (
            {"nodes": [node(agent={"name": "x", "input": "${nodes.nobody.output}"})]},
            "nodes[0].agent.input", "undeclared reference to 'nodes.nobody.output'",
        ),
        (
            {"nodes": [node(agent={"name": "x", "input": "${input"})]},
            "nodes[0].agent.input", "without its `}`",
        ),
        (
            {"nodes": [node(tool={"name": "do", "arguments": {"k": [{"l": "${1 +}"}]}})]},
            'nodes[0].tool.arguments["k"][0]["l"]', "must be a template",
        ),
        ({"nodes": [node(approval={})]}, "nodes[0].approval.question", "must not be empty"),
        (
            {"nodes": [node(approval={"question": "?", "policy": {"condition": "true"}})]},
            "nodes[0].approval.policy.condition", "edges have conditions",
        ),
        (
            {"nodes": [node(approval={"question": "?", "policy": {"expire_after": "-1s"}})]},
            "nodes[0].approval.policy.expire_after", "must be more than 0 s",
        ),
        ({"nodes": [node(sleep={})]}, "nodes[0].sleep.duration", "must be set, or `until`"),
        (
            {"nodes": [node(sleep={"duration": "2600000s"})]},
            "nodes[0].sleep.duration", "between 0 and 2592000 seconds",
        ),
        ({"nodes": [node(sleep={"until": "soon"})]}, "nodes[0].sleep.until", "must be a time"),
        ({"nodes": [node(map={"over": "input"})]}, "nodes[0].map", "must hold one of agent, tool"),
        (
            {"nodes": [node(map={"tool": {"name": "do"}})]},
            "nodes[0].map.over", "must not be empty",
        ),
        (
            {"nodes": [node(map={"over": "input", "parallelism": 65, "tool": {"name": "do"}})]},
            "nodes[0].map.parallelism", "between 0 and 64",
        ),
        ({"nodes": [node(workflow={})]}, "nodes[0].workflow.name", "must be set, or `inline`"),
        (
            {"nodes": [node(workflow={"inline": {"nodes": [{"name": "x"}]}})]},
            "nodes[0].workflow.inline.nodes[0]", "must hold one of",
        ),
        ({"nodes": [node(**TOOL, timeout="5s")]}, "nodes[0].timeout", "only be set for agents"),
        (
            {"nodes": [node(sleep={"duration": "1s"}, retry={"max_attempts": 2})]},
            "nodes[0].retry", "never tried again",
        ),
        (
            {"nodes": [node(**TOOL, retry={"max_attempts": 21})]},
            "nodes[0].retry.max_attempts", "between 0 and 20",
        ),
        (
            {"nodes": [node(**TOOL, retry={"reasons": ["no"]})]},
            "nodes[0].retry.reasons[0]", "must match",
        ),
        (
            {"nodes": [node(sleep={"duration": "1s"}, compensation=TOOL)]},
            "nodes[0].compensation", "no effect to take back",
        ),
        (
            {"nodes": [node(**TOOL, compensation={})]},
            "nodes[0].compensation", "must hold one of tool and agent",
        ),
        (
            {"nodes": [node(**TOOL, compensation={"tool": {"name": "u", "arguments":
                                                           {"i": "${item}"}}})]},
            'nodes[0].compensation.tool.arguments["i"]', "undeclared reference to 'item'",
        ),
        ({"nodes": [node(**TOOL, output="1 +")]}, "nodes[0].output", "must be an expression"),
        ({"nodes": [node()], "output": "x"}, "output", "undeclared reference to 'x'"),
        ({"nodes": [node()], "edges": [edge("a b")]}, "edges[0].to", "must name a node"),
        ({"nodes": [node()], "edges": [edge("b a")]}, "edges[0].from", "must name a node"),
        (
            {"nodes": [node(), node("b")], "edges": [edge("a b"), edge("a b")]},
            "edges[1]", "must differ",
        ),
        (
            {"nodes": [node(), node("b")], "edges": [edge("a b", condition="'yes'")]},
            "edges[0].condition", "must be true or false",
        ),
        (
            {"nodes": [node(), node("b")], "edges": [edge("a b", condition="nodes.c.output")]},
            "edges[0].condition", "undeclared reference",
        ),
        (
            {"nodes": [node(), node("b")],
             "edges": [edge("a b", condition="true", otherwise=True)]},
            "edges[0].otherwise", "without condition",
        ),
        (
            {"nodes": [node(), node("b"), node("c")],
             "edges": [edge("a b"), edge("b c"), edge("c b")]},
            "edges[1]", "cycle without max_iterations: b → c → b",
        ),
        (
            {"nodes": [node(), node("b")], "edges": [edge("a b", max_iterations=2)]},
            "edges[0].max_iterations", "only be set where the edge closes a cycle",
        ),
        (
            {"nodes": [node(), node("b"), node("c")],
             "edges": [edge("b c")]},
            "nodes[0]", "must be joined to the others",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(spec: dict[str, Any], field: str, says: str) -> None:
    found = problems(**spec)

    assert says in found.get(field, ""), found


def test_every_problem_is_told_at_once() -> None:
    found = problems(
        nodes=[node("a", **TOOL, timeout="1s"), {"name": "b"}, node("a")],
        edges=[edge("a z"), edge("a b", condition="1")],
        output="nope",
    )

    assert {*found} == {
        "nodes[0].timeout", "nodes[1]", "nodes[2].name", "edges[0].to", "edges[1].condition",
        "output",
    }  # fmt: skip


def test_workflows_inside_workflows_have_an_end() -> None:
    spec: dict[str, Any] = {"nodes": [node()]}
    for _ in range(8):
        spec = {"nodes": [node(workflow={"inline": spec})]}

    (field,) = problems(**spec)
    assert field.count("inline") == 8


def test_a_workflow_that_names_itself_would_never_end() -> None:
    spec = {"nodes": [node(map={"over": "input", "workflow": {"name": "me"}})]}
    request = ParseDict({"name": "me", "spec": spec}, ApplyWorkflowRequest())

    (wrong,) = validation.apply_workflow(request)
    assert wrong.field == "spec.nodes[0].map.workflow.name"
    assert validation.apply_workflow(ApplyWorkflowRequest(name="me"))[0].field == "spec"


def test_a_run_of_a_graph_names_no_performer_and_may_have_no_input() -> None:
    def wrong(**spec: Any) -> list[str]:
        request = ParseDict({"spec": spec}, CreateRunRequest())
        return [violation.field for violation in validation.create_run(request, 0.0)]

    graph = {"nodes": [node()]}
    assert wrong(graph=graph) == []
    assert wrong(workflow_name="order") == []
    assert wrong(workflow_name="Order") == ["spec.workflow_name"]
    assert wrong(graph=graph, agent="clerk") == ["spec.agent"]
    assert wrong(graph={"nodes": [{"name": "x"}]}) == ["spec.graph.nodes[0]"]


def test_a_page_of_workflows_is_small() -> None:
    assert validation.list_workflows(ListWorkflowsRequest(page_size=50)) == []
    assert validation.list_workflows(ListWorkflowsRequest(page_size=51))[0].field == "page_size"
