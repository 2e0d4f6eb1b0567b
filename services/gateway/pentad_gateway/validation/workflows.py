"""Requests about workflows, and runs of a graph: all that is wrong with one at once."""

from collections.abc import Iterator

from pentad.gateway.v1.workflow_service_pb2 import (
    ApplyWorkflowRequest,
    DeleteWorkflowRequest,
    GetWorkflowRequest,
    ListWorkflowsRequest,
    ValidateWorkflowRequest,
)
from pentad.state.v1.workflow_pb2 import Node, WorkflowSpec
from pentad_chassis.errors import FieldViolation
from pentad_chassis.workflows.shape import Shape, alone, cycle, shape_of, source
from pentad_gateway.validation.bounds import KIB, WORKFLOW_NAME, Bounds
from pentad_gateway.validation.nodes import Place, check_condition, check_expression, check_node

SPEC_BYTES = 240 * KIB
"""A stored one is an entry, of at most 256 KiB with its key."""

NODES = 200
EDGES = 1000
EDGES_BACK = 100
ITERATIONS = 1000
DESCRIPTION_BYTES = 1 * KIB
DEPTH = 8
PAGE = 50


def apply_workflow(request: ApplyWorkflowRequest) -> list[FieldViolation]:
    """Return what is wrong with the request."""
    bounds = Bounds()
    bounds.name("name", request.name, WORKFLOW_NAME)
    if request.expected_version < 0:
        bounds.broken("expected_version", "must not be negative")
    _given(bounds, request)
    for at, named in _named(request.spec, "spec"):
        if named == request.name:
            bounds.broken(at, "must name another workflow: this one would never end")
    return bounds.violations


def validate_workflow(request: ValidateWorkflowRequest) -> list[FieldViolation]:
    """Return what is wrong with the workflow itself."""
    bounds = Bounds()
    _given(bounds, request)
    return bounds.violations


def name_workflow(request: GetWorkflowRequest | DeleteWorkflowRequest) -> list[FieldViolation]:
    """Return what is wrong with the request."""
    bounds = Bounds()
    bounds.name("name", request.name, WORKFLOW_NAME)
    return bounds.violations


def list_workflows(request: ListWorkflowsRequest) -> list[FieldViolation]:
    """Return what is wrong with the request."""
    bounds = Bounds()
    bounds.page(request)
    bounds.within("page_size", request.page_size, PAGE)
    return bounds.violations


def check_workflow(bounds: Bounds, at: str, spec: WorkflowSpec, depth: int = 1) -> None:
    """Check the whole of a workflow: bounds, names, shape, expressions and those inside it."""
    if not bounds.whole(at, spec, SPEC_BYTES):
        return
    bounds.text(f"{at}.description", spec.description, DESCRIPTION_BYTES)
    bounds.count(f"{at}.nodes", len(spec.nodes), NODES, least=1)
    bounds.count(f"{at}.edges", len(spec.edges), EDGES)
    if len(spec.nodes) > NODES or len(spec.edges) > EDGES:
        return  # the rest would cost time, and tell the caller nothing
    shape = shape_of(spec)
    bounds.unique(f"{at}.nodes[{{}}].name", [node.name for node in spec.nodes])
    for i, node in enumerate(spec.nodes):
        check_node(bounds, Place(f"{at}.nodes[{i}]", shape.names), node)
    _edges(bounds, at, spec, shape)
    _ways(bounds, at, spec, shape)
    if spec.output:
        check_expression(bounds, Place(f"{at}.output", shape.names), spec.output)
    for inner_at, inner in _inside(spec, at):
        if depth == DEPTH:
            bounds.broken(inner_at, f"must not be more than {DEPTH} workflows deep")
        else:
            check_workflow(bounds, inner_at, inner, depth + 1)


def _given(bounds: Bounds, request: ApplyWorkflowRequest | ValidateWorkflowRequest) -> None:
    if request.HasField("spec"):
        check_workflow(bounds, "spec", request.spec)
    else:
        bounds.broken("spec", "must be set")


def _edges(bounds: Bounds, at: str, spec: WorkflowSpec, shape: Shape) -> None:
    bounds.unique(f"{at}.edges[{{}}]", [f"{source(edge)} to {edge.to}" for edge in spec.edges])
    back = sum(edge.max_iterations > 0 for edge in spec.edges)
    if back > EDGES_BACK:
        bounds.broken(f"{at}.edges", f"must hold at most {EDGES_BACK} with `max_iterations`")
    for i, edge in enumerate(spec.edges):
        here = f"{at}.edges[{i}]"
        for end, name in (("from", source(edge)), ("to", edge.to)):
            if name not in shape.nodes:
                bounds.broken(f"{here}.{end}", "must name a node")
        bounds.within(f"{here}.max_iterations", edge.max_iterations, ITERATIONS)
        if edge.otherwise and (edge.condition or edge.max_iterations):
            bounds.broken(f"{here}.otherwise", "must stand without condition and `max_iterations`")
        if edge.condition:
            check_condition(bounds, Place(f"{here}.condition", shape.names), edge.condition)


def _ways(bounds: Bounds, at: str, spec: WorkflowSpec, shape: Shape) -> None:
    """Check where the edges lead: that it begins, gets everywhere, and ends."""
    if round_ := cycle(shape):
        pairs = {*zip(round_, (*round_[1:], round_[0]), strict=True)}
        i = next(i for i, e in enumerate(spec.edges) if (source(e), e.to) in pairs)
        way = " → ".join((*round_, round_[0]))
        bounds.broken(f"{at}.edges[{i}]", f"must not close a cycle without max_iterations: {way}")
        return  # without a beginning, nothing can be said of what is behind it
    for place, body in shape.bodies.items():
        if not body:
            here = f"{at}.edges[{place}].max_iterations"
            bounds.broken(here, "must only be set where the edge closes a cycle")
    apart = alone(shape)
    for i, node in enumerate(spec.nodes):
        if node.name in apart:
            bounds.broken(f"{at}.nodes[{i}]", "must be joined to the others by an edge")


def _inside(spec: WorkflowSpec, at: str) -> Iterator[tuple[str, WorkflowSpec]]:
    """Yield the workflows that stand in nodes."""
    for here, node in _subs(spec, at):
        sub = node.map.workflow if node.HasField("map") else node.workflow
        if sub.HasField("inline"):
            yield f"{here}.inline", sub.inline


def _named(spec: WorkflowSpec, at: str) -> Iterator[tuple[str, str]]:
    """Yield the stored workflows that one names, wherever it does."""
    for here, node in _subs(spec, at):
        sub = node.map.workflow if node.HasField("map") else node.workflow
        if sub.HasField("inline"):
            yield from _named(sub.inline, f"{here}.inline")
        else:
            yield f"{here}.name", sub.name


def _subs(spec: WorkflowSpec, at: str) -> Iterator[tuple[str, Node]]:
    for i, node in enumerate(spec.nodes[:NODES]):
        if node.HasField("workflow"):
            yield f"{at}.nodes[{i}].workflow", node
        elif node.HasField("map") and node.map.HasField("workflow"):
            yield f"{at}.nodes[{i}].map.workflow", node
