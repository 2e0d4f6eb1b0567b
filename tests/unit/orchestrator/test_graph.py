"""What a graph does: its nodes, edges, joins, loops and maps."""

import json

import pytest
from unit.orchestrator.graphs import (
    agent,
    begun,
    calls,
    child_ends,
    children,
    commands,
    created,
    fires,
    given_to,
    graph_of,
    output,
    start_all,
    starts,
    told,
    tool,
    workflow,
)
from unit.orchestrator.story import Story, errs, returns

from pentad.state.v1.approval_pb2 import Approval, Decision
from pentad.state.v1.approval_policy_pb2 import ApprovalPolicy
from pentad.state.v1.event_pb2 import ApprovalDecided, ApprovalExpired, Event
from pentad_orchestrator import plan
from pentad_orchestrator.commands import AwaitTimer


def failure(story: Story) -> str:
    return plan.status(story.run).failure.reason


def test_nodes_follow_each_other_and_see_what_was_before() -> None:
    spec = workflow(
        {"a": tool(arguments={"n": "${input.n}"}), "b": tool(arguments={"x": "${nodes.a.output}"})},
        "a b",
    )
    story = begun(spec, '{"n": 3}')
    assert calls(story) == ["a"]
    assert given_to(story, "a") == {"n": 3}
    story.record(returns("a", '{"m": 4}'))
    assert given_to(story, "b") == {"x": {"m": 4}}
    story.record(returns("b", "done"))

    assert output(story) == "done"
    assert told(story) == [
        "started a",
        "completed a",
        "started b",
        "completed b",
        "graph_completed",
    ]


def test_branches_run_side_by_side_and_a_join_waits_for_all() -> None:
    spec = workflow(
        {name: tool() for name in "abcd"},
        "a b",
        "a c",
        "b d",
        "c d",
        output="nodes.b.text + nodes.c.text",
    )
    story = begun(spec).record(returns("a"))
    assert calls(story) == ["b", "c"]
    story.record(returns("c", "C"))
    assert calls(story) == ["b"]
    story.record(returns("b", "B"))
    assert calls(story) == ["d"]
    story.record(returns("d"))

    assert output(story) == "BC"


def test_a_join_of_any_begins_with_the_first_and_begins_once() -> None:
    spec = workflow({"a": tool(), "b": tool(), "c": tool(join="JOIN_ANY")}, "a c", "b c")
    story = begun(spec).record(returns("b"))
    assert calls(story) == ["a", "c"]
    story.record(returns("c")).record(returns("a"))

    assert told(story).count("started c") == 1
    assert story.run.ended


def test_conditions_choose_and_what_nothing_leads_to_is_skipped() -> None:
    spec = workflow(
        {name: tool() for name in "abcde"},
        ("a b", {"condition": "nodes.a.output > 2"}),
        ("a c", {"condition": "nodes.a.output > 5"}),
        ("a d", {"otherwise": True}),
        "c e",
        "b e",
    )
    story = begun(spec).record(returns("a", "3"))
    assert told(story)[-3:] == ["started b", "skipped c", "skipped d"]
    story.record(returns("b"))
    assert calls(story) == ["e"], "a join waits for what is taken, and for nothing else"

    other = begun(spec).record(returns("a", "1"))
    assert "started d" in told(other)
    assert "skipped e" in told(other)


def test_a_condition_without_a_value_ends_the_run() -> None:
    spec = workflow({"a": tool(), "b": tool()}, ("a b", {"condition": "nodes.a.output.x > 2"}))
    story = begun(spec).record(returns("a", "3"))

    assert failure(story) == "EXPRESSION_FAILED"
    assert plan.status(story.run).failure.metadata["node"] == "a"


def test_a_loop_goes_round_until_its_condition_holds_no_more() -> None:
    spec = workflow(
        {"draft": tool(), "review": tool(), "publish": tool()},
        "draft review",
        ("review draft", {"condition": "nodes.review.output == 'no'", "max_iterations": 5}),
        "review publish",
    )
    story = begun(spec)
    for call_id, text in (
        ("draft", "1"),
        ("review", "no"),
        ("draft#2", "2"),
        ("review#2", "no"),
        ("draft#3", "3"),
        ("review#3", "yes"),
    ):
        assert calls(story) == [call_id]
        story.record(returns(call_id, text))
    assert calls(story) == ["publish"]
    story.record(returns("publish"))

    assert story.run.ended
    assert not [word for word in told(story) if word.startswith("skipped")]


@pytest.mark.parametrize("conditional", [True, False])
def test_a_loop_is_bounded(conditional: bool) -> None:
    back = {"max_iterations": 2, **({"condition": "true"} if conditional else {})}
    story = begun(workflow({"a": tool()}, ("a a", back)))
    for call_id in ("a", "a#2", "a#3"):
        story.record(returns(call_id))

    assert failure(story) == ("LOOP_LIMIT_REACHED" if conditional else "")
    assert story.run.ended


def test_what_a_loop_does_not_lead_to_is_skipped_only_when_it_is_over() -> None:
    spec = workflow(
        {name: tool() for name in "abx"},
        "a b",
        ("b a", {"condition": "iteration < 2", "max_iterations": 9}),
        ("a x", {"condition": "iteration == 2"}),
    )
    story = begun(spec).record(returns("a")).record(returns("b"))
    assert told(story)[-1] == "started a#2"
    story.record(returns("a#2"))
    assert calls(story) == ["b#2", "x"]


def test_a_slow_branch_of_a_round_ends_before_the_next() -> None:
    spec = workflow(
        {"a": tool(), "slow": tool(), "fast": tool(), "end": tool(join="JOIN_ANY")},
        "a slow",
        "a fast",
        "slow end",
        "fast end",
        ("end a", {"condition": "iteration < 2", "max_iterations": 3}),
    )
    story = begun(spec).record(returns("a")).record(returns("fast")).record(returns("end"))
    assert calls(story) == ["slow"]
    story.record(returns("slow"))
    assert calls(story) == ["a#2"]


def test_an_agent_works_in_a_run_of_its_own_within_the_nodes_timeout() -> None:
    story = begun(workflow({"a": agent("Say ${input}", timeout="9s")}), "hello")
    (start,) = children(story)
    assert (start.spec.agent, start.spec.input) == ("clerk", "Say hello")
    assert start.spec.limits.wall_time.seconds == 9
    start_all(story)
    assert commands(story) == []
    story.record(child_ends("a", '{"ok": true}'))

    assert output(story) == '{"ok": true}'
    assert not story.run.children, "what has ended is not kept"


def test_a_child_that_overruns_is_a_node_that_does() -> None:
    story = begun(workflow({"a": agent(timeout="9s")}))
    story.record(child_ends("a", reason="WALL_TIME_REACHED"))

    assert failure(story) == "NODE_TIMEOUT"


def test_a_failed_attempt_is_tried_again_after_a_pause() -> None:
    retry = {"max_attempts": 3, "backoff": "2s", "reasons": ["TOOL_FAILED"]}
    story = begun(workflow({"a": tool(retry=retry)})).record(errs("a"))
    (wait,) = commands(story)
    assert isinstance(wait, AwaitTimer)
    story.record(fires("a~2"))
    assert calls(story) == ["a~2"], "another call, so that the ledger lets it run"
    story.record(errs("a~2")).record(fires("a~3")).record(errs("a~3"))

    assert failure(story) == "TOOL_FAILED"
    assert told(story).count("failed a") == 3
    pauses = [e.node_failed.retry_after.seconds for e in story.events if e.HasField("node_failed")]
    assert pauses == [2, 4, 0]


def test_other_reasons_are_not_tried_again() -> None:
    retry = {"max_attempts": 3, "reasons": ["TOOL_TIMEOUT"]}
    story = begun(workflow({"a": tool(retry=retry)})).record(errs("a"))

    assert story.run.ended


def test_a_sleep_waits_for_its_time() -> None:
    story = begun(workflow({"a": {"sleep": {"duration": "60s"}}, "b": tool()}, "a b"))
    (wait,) = commands(story)
    assert isinstance(wait, AwaitTimer)
    assert 50 < wait.at_s - story.run.now_s <= 60
    assert plan.waiting(story.run) is not None, "nobody has to hold it meanwhile"
    story.record(fires("a"))

    assert calls(story) == ["b"]


def decided(verdict: "Decision.Verdict.ValueType", comment: str = "") -> Event:
    decision = Decision(verdict=verdict, comment=comment, decided_by="ann")
    return Event(approval_decided=ApprovalDecided(key="ok", decision=decision))


def gate(**fields: object) -> dict[str, object]:
    asked = {"question": "Pay ${input.sum}?", "show": "input", **fields}
    return {"approval": asked}


def test_an_approval_asks_and_its_node_tells_what_was_said() -> None:
    story = begun(workflow({"ok": gate()}), '{"sum": 5}')
    approval = story.run.approvals["ok"].approval
    assert approval.kind == Approval.KIND_GATE
    assert (approval.question, approval.arguments.text) == ("Pay 5?", '{"sum":5}')
    story.record(decided(Decision.VERDICT_APPROVED, "fine"))

    assert json.loads(output(story)) == {"approved": True, "comment": "fine", "decided_by": "ann"}


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (decided(Decision.VERDICT_REFUSED), "APPROVAL_REFUSED"),
        (Event(approval_expired=ApprovalExpired(key="ok")), "APPROVAL_EXPIRED"),
    ],
)
def test_what_nobody_approves_fails_unless_it_may_go_on(event: Event, reason: str) -> None:
    copy = Event.FromString(event.SerializeToString())
    assert failure(begun(workflow({"ok": gate()}), '{"sum": 5}').record(copy)) == reason
    lenient = begun(workflow({"ok": gate(go_on_if_refused=True)}), '{"sum": 5}').record(event)
    assert json.loads(output(lenient))["approved"] is False


def mapped(**fields: object) -> dict[str, object]:
    body = {"name": "clerk", "input": "${index}: ${item.n}"}
    return {"map": {"over": "input", "agent": body, "parallelism": 2, **fields}}


def test_a_map_does_each_item_so_many_at_once_and_keeps_their_order() -> None:
    story = begun(workflow({"each": mapped()}), '[{"n": 7}, {"n": 8}, {"n": 9}]')
    asked = [each.spec.input for each in children(story)]
    assert asked == ["0: 7", "1: 8"]
    start_all(story)
    story.record(child_ends("each", "B", 1))
    assert starts(story) == [("each", 2)]
    story.record(child_ends("each", "C", 2)).record(child_ends("each", "A", 0))

    assert json.loads(output(story)) == ["A", "B", "C"]


def test_a_map_over_nothing_is_done() -> None:
    assert output(begun(workflow({"each": mapped()}), "[]")) == "[]"


@pytest.mark.parametrize("text", ["{}", "1", "no"])
def test_a_map_needs_a_list(text: str) -> None:
    assert failure(begun(workflow({"each": mapped()}), text)) == "EXPRESSION_FAILED"


def test_a_map_that_needs_few_lets_the_others_go() -> None:
    story = begun(workflow({"each": mapped(first=1), "b": tool()}, "each b"), '[{"n":1},{"n":2}]')
    start_all(story)
    story.record(child_ends("each", "A", 0))
    assert not story.run.children["each", 1].wanted, "it is to be cancelled"
    assert calls(story) == [], "its end is waited for: it may have done something"
    story.record(child_ends("each", index=1, reason="CANCELLED"))

    assert calls(story) == ["b"]
    assert graph_of(story).values["nodes.each"]["output"] == ["A", None]


def test_an_item_is_tried_again_by_itself_and_one_that_fails_fails_the_map() -> None:
    node = {**mapped(), "retry": {"max_attempts": 2}}
    story = begun(workflow({"each": node}), '[{"n":1},{"n":2}]')
    start_all(story)
    story.record(child_ends("each", index=0, reason="MODEL_UNAVAILABLE"))
    story.record(fires("each[0]~2"))
    assert starts(story) == [("each~2", 0)]
    start_all(story)
    story.record(child_ends("each~2", index=0, reason="MODEL_UNAVAILABLE"))
    assert not story.run.children["each", 1].wanted
    story.record(child_ends("each", index=1, reason="CANCELLED"))

    assert failure(story) == "MODEL_UNAVAILABLE"
    assert "item 0" in plan.status(story.run).failure.message


def test_a_tool_for_each_item_runs_in_a_workflow_of_one_node_and_gets_data_only() -> None:
    body = {"tool": {"name": "do", "arguments": {"a-b": "${item}", "n": 12345678901234567}}}
    spec = workflow({"each": {"map": {"over": "input", **body}}})
    story = begun(spec, '["${nodes.x}"]')
    (start,) = children(story)
    inner = begun(start.spec.graph, start.spec.input)

    given = given_to(inner, "call")
    assert given["a-b"] == "${nodes.x}"


def test_another_workflow_is_done_in_a_run_of_its_own() -> None:
    inline = {"nodes": [{"name": "x", **tool()}]}
    spec = workflow(
        {
            "a": {"workflow": {"name": "other", "input": "${input}"}},
            "b": {"workflow": {"inline": inline}},
        }
    )
    story = begun(spec, "hi")
    one, two = [each.spec for each in children(story)]

    assert (one.workflow_name, one.input) == ("other", "hi")
    assert two.graph.nodes[0].name == "x"


def test_a_nodes_output_is_what_its_expression_makes_of_it() -> None:
    spec = workflow({"a": tool(output="output.n * 2")})

    assert output(begun(spec).record(returns("a", '{"n": 4}'))) == "8"
    assert failure(begun(spec).record(returns("a", "nothing"))) == "EXPRESSION_FAILED"


def test_input_that_comes_to_nothing_fails_the_node() -> None:
    assert failure(begun(workflow({"a": agent("${input}")}))) == "EXPRESSION_FAILED"


@pytest.mark.parametrize("verdict", [Decision.VERDICT_APPROVED, Decision.VERDICT_REFUSED])
def test_a_call_that_needs_a_persons_leave_waits_for_it(
    verdict: "Decision.Verdict.ValueType",
) -> None:
    opened = created(workflow({"a": tool(arguments={"n": 1})}))
    opened.tools[0].approval.CopyFrom(ApprovalPolicy(condition="arguments.n > 0"))
    story = Story(opened).start()
    assert story.run.approvals["a"].approval.kind == Approval.KIND_TOOL_CALL
    assert calls(story) == []
    decision = Decision(verdict=verdict, decided_by="ann")
    story.record(Event(approval_decided=ApprovalDecided(key="a", decision=decision)))

    if verdict == Decision.VERDICT_APPROVED:
        assert calls(story) == ["a"]
    else:
        assert failure(story) == "TOOL_CALL_REFUSED"


def test_no_more_calls_are_made_than_the_run_may_make() -> None:
    opened = created(workflow({"a": tool(), "b": tool()}, "a b"))
    opened.spec.limits.max_tool_calls = 1
    story = Story(opened).start().record(returns("a"))

    assert failure(story) == "TOOL_CALL_LIMIT_REACHED"


def test_a_map_of_many_items_is_worked_through() -> None:
    nodes = {"each": {"map": {"over": "input", "agent": {"name": "clerk", "input": "${item}"}}}}
    story = begun(workflow(nodes, output="nodes.each.output.size()"), str([*range(300)]))
    for index in range(300):
        story.record(child_ends("each", "x", index))

    assert output(story) == "300"
    assert not story.run.children
