"""Workflows read from files, drawn, and told of as a run goes on."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf.json_format import ParseDict

from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.workflow_pb2 import WorkflowSpec
from pentad_cli import drawing
from pentad_cli.nodes import Nodes, NodeState
from pentad_cli.progress import Progress
from pentad_cli.timeline import Narrator
from pentad_cli.tree import run_tree

ROOT = Path(__file__).parents[3]


def spec(*edges: dict[str, Any], **nodes: Any) -> WorkflowSpec:
    """Return a workflow."""
    listed = [{"name": name, **node} for name, node in nodes.items()]
    return ParseDict({"nodes": listed, "edges": list(edges)}, WorkflowSpec())


TOOL = {"tool": {"name": "do"}}
LOOPED = spec(
    {"from": "a", "to": "end"},
    {"from": "end", "to": "a", "condition": 'nodes.a.output == "no"', "max_iterations": 3},
    {"from": "end", "to": "c", "otherwise": True},
    a={**TOOL, "compensation": {"tool": {"name": "undo"}}},
    end={"agent": {"name": "clerk", "input": "x"}},
    c={"map": {"over": "input", "workflow": {"name": "other"}}},
)


def told(*events: dict[str, Any]) -> list[Event]:
    return [ParseDict(each, Event()) for each in events]


STORY = told(
    {"node_started": {"path": "a", "attempt": 1, "input": {"text": "{}"}}},
    {"node_failed": {"path": "a", "attempt": 1, "retry_after": "1s",
                     "failure": {"reason": "TOOL_FAILED", "message": "no"}}},
    {"node_started": {"path": "a", "attempt": 2}},
    {"node_completed": {"path": "a", "output": {"text": "yes"}}},
    {"node_skipped": {"node": "c"}},
    {"node_failed": {"path": "end", "failure": {"reason": "X", "message": "no"}}},
    {"unwinding_started": {"failure": {"reason": "X", "message": "node end: no"}}},
    {"compensation_started": {"path": "a", "attempt": 1}},
    {"compensation_completed": {"path": "a"}},
)  # fmt: skip


def test_a_workflow_is_drawn_as_text() -> None:
    assert list(drawing.as_text(LOOPED)) == [
        "a    tool do  (undone by tool undo)",
        "└──▶ end",
        "end  agent clerk",
        '├─↺ nodes.a.output == "no", at most 3 times ─▶ a',
        "└─ otherwise ─▶ c",
        "c    for each of input: workflow other",
    ]


def test_a_run_is_drawn_with_how_far_it_is() -> None:
    nodes = Nodes()
    for event in STORY:
        nodes.apply(event)
    drawn = list(drawing.as_text(LOOPED, nodes))

    assert drawn[0].startswith("↶ a")
    assert drawn[1] == "  │ a, attempt 2: yes"
    assert [line[:5] for line in drawn if line[:1] in "✗-"] == ["✗ end", "- c  "]


def test_it_is_drawn_for_mermaid_and_graphviz_whatever_its_texts_hold() -> None:
    mermaid = list(drawing.as_mermaid(LOOPED))
    assert mermaid[0] == "flowchart TD"
    assert '  n_end -.->|"nodes.a.output == #quot;no#quot;, at most 3 times"| n_a' in mermaid
    dot = list(drawing.as_dot(LOOPED))
    assert (
        '  "end" -> "a" [label="nodes.a.output == \\"no\\", at most 3 times", style=dashed];' in dot
    )


def test_a_wrong_workflow_is_drawn_too() -> None:
    round_ = spec({"from": "a", "to": "b"}, {"from": "b", "to": "a"}, a=TOOL, b={})

    assert len(list(drawing.as_text(round_))) == 4


@pytest.mark.parametrize("file", sorted(ROOT.glob("examples/workflows/*.yaml")), ids=str)
def test_the_examples_can_be_drawn(file: Path) -> None:
    fields = yaml.safe_load(file.read_text("utf-8"))
    if "nodes" in fields:
        fields.pop("name")
        assert list(drawing.as_dot(ParseDict(fields, WorkflowSpec())))


def test_what_happens_to_nodes_is_told_in_words() -> None:
    narrator = Narrator()
    words = [f"{entry.kind}: {entry.what}" for entry in map(narrator.tell, STORY)]

    assert words == [
        "node started: a: {}",
        "node failed: a: no (TOOL_FAILED); will be tried again",
        "node started: a, attempt 2",
        "node completed: a: yes",
        "node skipped: c",
        "node failed: end: no (X)",
        "unwinding started: node end: no (X)",
        "compensation started: a",
        "compensation completed: a",
    ]


def test_progress_holds_the_nodes_and_the_tree_shows_them() -> None:
    progress = Progress()
    for event in STORY:
        progress.apply(event)

    assert progress.nodes.runs["a"].state is NodeState.COMPENSATED
    lines = [str(branch.label) for branch in run_tree(progress, 1.0).children]
    assert lines[0] == "↶ a  attempt 2  yes"
    assert "taking back" in lines[-1]
    called = told({"tool_call_started": {"call_id": "a~2", "tool": "do"}})
    progress.apply(called[0])
    assert not progress.steps, "a call of a node is the node's"
