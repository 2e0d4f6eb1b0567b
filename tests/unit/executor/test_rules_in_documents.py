"""What documents and examples say of rules is true: their programs are read and followed."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf.json_format import ParseDict
from harness.turns import run_step

from pentad.executor.v1.executor_service_pb2 import ExecuteTurnRequest
from pentad.state.v1.agent_pb2 import Agent
from pentad.state.v1.message_pb2 import ToolCall
from pentad_executor.program import read
from pentad_executor.rules import decide

ROOT = Path(__file__).parents[3]


def documented() -> Agent:
    text = (ROOT / "docs/rules-model.md").read_text()
    found = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert found, "the page shows a whole agent"
    return ParseDict(yaml.safe_load(found[1]), Agent())


def examples() -> list[Any]:
    return [
        pytest.param(document, id=document["name"])
        for path in sorted((ROOT / "examples/agents").glob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text())
        if document
    ]


@pytest.mark.parametrize(
    ("asked_for", "fails", "fired", "answer"),
    [
        ("How many blue chairs?", "", ["find", "note"], "There are 12 in stock."),
        ("How many blue chairs?", "csv_query", ["find"], "The stock list cannot be read: gone"),
        ("Hello", "", [], "Ask me: how many ARTICLE?"),
    ],
)
def test_the_documented_agent_does_what_the_page_says(
    asked_for: str, fails: str, fired: list[str], answer: str
) -> None:
    def tool(call: ToolCall) -> tuple[str, bool]:
        if call.tool == fails:
            return "gone", True
        return '{"rows": [{"pieces": 12}]}' if call.tool == "csv_query" else "noted", False

    turn = ExecuteTurnRequest(agent=documented(), input=asked_for, run_input=asked_for)
    said, last = run_step(decide, turn, tool, 5)

    assert [call.model_call_id for m in said for call in m.tool_calls] == fired
    assert last is not None
    assert last.text == answer


@pytest.mark.parametrize("document", examples())
def test_an_example_has_rules_that_can_be_followed(document: dict[str, Any]) -> None:
    agent = ParseDict(document, Agent())

    assert len(read(agent)) == len(agent.rules)
