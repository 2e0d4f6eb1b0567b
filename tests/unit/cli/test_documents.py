"""YAML becomes protos; what does not fit is named by file, document and field."""

from pathlib import Path

import pytest

from pentad.state.v1.agent_pb2 import Agent, Routing
from pentad.state.v1.run_pb2 import RunSpec
from pentad_cli.documents import read_documents, to_message
from pentad_cli.failure import CommandFailed


def read_agent(tmp_path: Path, text: str) -> Agent:
    file = tmp_path / "agent.yaml"
    file.write_text(text)
    (document,) = read_documents(file)
    return to_message(document, Agent())


def test_an_agent_is_read_with_durations_and_structs(tmp_path: Path) -> None:
    agent = read_agent(
        tmp_path,
        """
        name: clerk
        model: rules:clerk
        routing: ROUTING_LEAST_BUSY
        limits: {wall_time: 90s, max_turns: 3}
        response_cache: {ttl: 600s}
        rules:
          - name: look
            call: {tool: csv_query, arguments: {day: 2026-01-05, limit: 3}}
          - {name: say, after: [look], answer: "{look.rows.0}"}
        """,
    )

    assert agent.routing == Routing.ROUTING_LEAST_BUSY
    assert agent.limits.wall_time.seconds == 90
    assert agent.response_cache.ttl.seconds == 600
    assert agent.rules[0].call.arguments["limit"] == 3
    assert agent.rules[0].call.arguments["day"] == "2026-01-05", "dates stay text"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("nme: x", "nme: no such field; did you mean `name`?"),
        ("zzz: x", "zzz: no such field; known are name, revision"),
        ("limits: {wal_time: 5s}", "limits.wal_time: no such field; did you mean `wall_time`?"),
        ("limits: {wall_time: 60}", "limits.wall_time: Duration JSON value not a string: 60"),
        ("response_cache: {tll: 5s}", "response_cache.tll: no such field; did you mean `ttl`?"),
        ("limits: {max_turns: many}", "limits.max_turns: invalid literal"),
        ("name: 5", "name: expected string"),
        ("routing: ROUTING_SLOWEST", "routing: Invalid enum value ROUTING_SLOWEST"),
        ("tools: csv_query", "tools: repeated field tools must be in []"),
        (
            "rules: [{name: a, answer: x}, {name: b, call: {tol: x}}]",
            "rules[1].call.tol: no such field; did you mean `tool`?",
        ),
        (
            "rules: [{name: a, answer: x, call: {tool: y}}]",
            'rules[0]: Message type "pentad.state.v1.Rule" should not have multiple "action"',
        ),
    ],
)
def test_a_field_that_does_not_fit_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(CommandFailed) as caught:
        read_agent(tmp_path, text)

    assert str(caught.value).startswith(f"{tmp_path}/agent.yaml: {complaint}")
    assert "\n" not in str(caught.value)


def test_a_deep_field_of_a_run_is_named(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("multi_step: {steps: [{name: a, agent: b}, {name: c, wat: 1}]}")

    with pytest.raises(CommandFailed, match=r"multi_step.steps\[1\].wat: no such field"):
        to_message(read_documents(file)[0], RunSpec())


@pytest.mark.parametrize("text", ["name: a\n---\nname: b\n", "- name: a\n- name: b\n"])
def test_many_documents_or_a_list_are_many_agents(tmp_path: Path, text: str) -> None:
    file = tmp_path / "agents.yaml"
    file.write_text(text)

    documents = read_documents(file)

    assert [d.value for d in documents] == [{"name": "a"}, {"name": "b"}]
    assert documents[1].place == f"{file}, document 2"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a: [1,\nb: 2", "line 2, column 5"),
        ("", "holds no document"),
        ("just words", "expected fields"),
        ("a: !!python/object:os.system x", "line 1, column 4"),
    ],
)
def test_what_is_no_mapping_is_refused_in_one_line(
    tmp_path: Path, text: str, complaint: str
) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(text)

    with pytest.raises(CommandFailed) as caught:
        read_documents(file)

    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match=r"cannot read .*absent.yaml: No such file"):
        read_documents(tmp_path / "absent.yaml")
