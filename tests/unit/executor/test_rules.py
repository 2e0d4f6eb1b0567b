from contextlib import suppress

import pytest
from google.protobuf.struct_pb2 import Struct
from harness.turns import answer_rule, asked, call_rule, rules_turn, run_step, told
from hypothesis import given
from hypothesis import strategies as st

from pentad.executor.v1.executor_service_pb2 import TurnResult
from pentad.state.v1.agent_pb2 import Rule
from pentad.state.v1.message_pb2 import Message, ToolCall
from pentad_executor.errors import RulesInvalid
from pentad_executor.models import Call
from pentad_executor.rules import RulesModel, decide

COUNT = call_rule("count", "look", {"key": "{input.word}"}, input_pattern=r"how many (?P<word>\w+)")


def test_the_first_rule_that_holds_fires_alone() -> None:
    turn = rules_turn([COUNT, call_rule("other"), answer_rule("end", "done")], "how many cats?")

    message = decide(turn)

    assert [(c.model_call_id, c.tool, c.arguments.text) for c in message.tool_calls] == [
        ("count", "look", '{"key":"cats"}')
    ]


def test_a_pattern_that_finds_nothing_lets_the_next_rule_have_its_turn() -> None:
    assert decide(rules_turn([COUNT, answer_rule("end", "What?")], "hello")).text == "What?"


def test_a_rule_fires_once_in_a_step() -> None:
    rules = [call_rule("a"), answer_rule("end", "{a.n} found", after=["a"])]

    message = decide(rules_turn(rules, messages=[asked("a"), told("a", '{"n": 2}')]))

    assert message.text == "2 found"


def test_a_rule_waits_until_the_calls_it_comes_after_have_succeeded() -> None:
    rules = [
        answer_rule("end", "all", after=["a", "b"]),
        call_rule("a"),
        call_rule("b"),
    ]
    said, answer = run_step(decide, rules_turn(rules), lambda _: ("ok", False), 5)

    assert [c.model_call_id for m in said for c in m.tool_calls] == ["a", "b"]
    assert answer is not None
    assert answer.text == "all"


def test_a_failed_call_opens_the_way_that_is_meant_for_it_and_no_other() -> None:
    rules = [
        call_rule("a"),
        answer_rule("good", "fine", after=["a"]),
        answer_rule("bad", "sorry: {a}", after_failure="a"),
    ]
    said, answer = run_step(decide, rules_turn(rules), lambda _: ("no such file", True), 5)

    assert len(said) == 2
    assert answer is not None
    assert answer.text == "sorry: no such file"


def test_results_reach_arguments_with_their_types() -> None:
    rules = [
        call_rule("rows"),
        call_rule(
            "sum", "look", {"values": "{rows.items}", "note": "of {steps.first}"}, after=["rows"]
        ),
    ]
    messages = [asked("rows"), told("rows", '{"items": [1, 2.5, true]}')]

    message = decide(rules_turn(rules, messages=messages, steps={"first": "day one"}))

    assert message.tool_calls[0].arguments.text == '{"note":"of day one","values":[1,2.5,true]}'


def test_a_group_that_took_no_part_is_empty() -> None:
    rule = answer_rule("end", "[{input.n}]", input_pattern=r"x(?P<n>\d+)?")

    assert decide(rules_turn([rule], "x")).text == "[]"


def test_a_pattern_is_searched_in_text_beyond_ascii() -> None:
    rule = answer_rule("end", "{input.word}", input_pattern=r"(?P<word>\p{L}+)$")

    assert decide(rules_turn([rule], "123 Grüße")).text == "Grüße"


def nan() -> Struct:
    found = Struct()
    found["x"] = float("nan")
    return found


@pytest.mark.parametrize(
    ("rules", "at_fault", "says"),
    [
        ([], "", "no rules"),
        ([answer_rule("A", "x")], "A", "[a-z]"),
        ([answer_rule("input", "x")], "input", "placeholder"),
        ([call_rule("a"), answer_rule("a", "x")], "a", "two rules"),
        ([Rule(name="a")], "a", "neither"),
        ([answer_rule("a", " ")], "a", "empty"),
        ([answer_rule("a", "x", input_pattern="(")], "a", "RE2"),
        ([answer_rule("a", "x", input_pattern="x" * 513)], "a", "512"),
        ([answer_rule("a", "x", input_pattern=r"(x{500}){500}")], "a", "RE2"),
        ([answer_rule("a", "x", after=["b"])], "a", "'b'"),
        ([answer_rule("b", "x"), answer_rule("a", "x", after=["b"])], "a", "'b'"),
        ([call_rule("a", after=["a"])], "a", "itself"),
        ([answer_rule("a", "x", after_failure="zzz")], "a", "'zzz'"),
        ([call_rule("a", "rm")], "a", "'rm'"),
        ([call_rule("a", "look", nan())], "a", "no JSON"),
        ([answer_rule("a", "{nope}")], "a", "{nope}"),
        ([answer_rule("a", "{input.word}")], "a", "{input.word}"),
        ([answer_rule("a", "{steps}")], "a", "{steps}"),
        ([answer_rule("a", "{steps.b.c}")], "a", "{steps.b.c}"),
        ([answer_rule("a", "50 % {")], "a", "{{"),
        ([call_rule("a", "look", {"x": ["{nope}"]})], "a", "{nope}"),
        ([answer_rule("a", "{steps.first}")], "a", "'first'"),
        ([call_rule("b", input_pattern="zzz"), answer_rule("a", "{b}")], "a", "`after`"),
        ([answer_rule(f"r{i}", "x") for i in range(101)], "", "100"),
    ],
)
def test_a_wrong_rule_is_named_with_its_fault(rules: list[Rule], at_fault: str, says: str) -> None:
    with pytest.raises(RulesInvalid) as caught:
        decide(rules_turn(rules))

    assert says in caught.value.message
    assert caught.value.metadata == ({"rule": at_fault} if at_fault else {})


def test_a_path_into_a_result_that_leads_nowhere_says_what_is_there() -> None:
    rules = [call_rule("a"), answer_rule("end", "{a.total}", after=["a"])]

    with pytest.raises(RulesInvalid, match="'a' has no key 'total' among count, rows"):
        decide(rules_turn(rules, messages=[asked("a"), told("a", '{"rows": [], "count": 0}')]))


def test_a_rule_cannot_multiply_a_result_without_bound() -> None:
    rules = [call_rule("a"), answer_rule("end", "{a}" * 5, after=["a"])]

    with pytest.raises(RulesInvalid, match="more than 1048576 characters"):
        decide(rules_turn(rules, messages=[asked("a"), told("a", "x" * 250_000)]))


def test_an_answer_that_comes_out_empty_is_a_fault_of_its_rule() -> None:
    rules = [call_rule("a"), answer_rule("end", "{a}", after=["a"])]

    with pytest.raises(RulesInvalid, match="empty"):
        decide(rules_turn(rules, messages=[asked("a"), told("a", '""')]))


def test_a_program_without_a_rule_for_the_case_says_what_happened() -> None:
    rules = [call_rule("a"), answer_rule("end", "x", after=["a"])]

    with pytest.raises(RulesInvalid, match="no rule holds now; fired so far: a failed"):
        decide(rules_turn(rules, messages=[asked("a"), told("a", "broken", failed=True)]))


async def test_an_answer_is_there_at_once_and_costs_nothing() -> None:
    text = "Three tickets are open, and one of them is urgent."
    turn = rules_turn([answer_rule("end", text)])

    [result] = [piece async for piece in RulesModel().stream("clerk", turn, Call("id"))]

    assert isinstance(result, TurnResult)
    assert result.message == Message(role=Message.ROLE_ASSISTANT, text=text)
    assert result.usage.HasField("cost_nano_usd")
    assert (result.usage.cost_nano_usd, result.usage.input_tokens) == (0, 0)
    assert result.model == "clerk"


async def test_a_large_input_is_searched_as_well() -> None:
    rule = answer_rule("end", "found {input.n}", input_pattern=r"needle (?P<n>\d+)")
    turn = rules_turn([rule], "hay " * 60_000 + "needle 7")

    *_, result = [p async for p in RulesModel().stream("clerk", turn, Call("id"))]

    assert isinstance(result, TurnResult)
    assert result.message.text == "found 7"


@st.composite
def programs(draw: st.DrawFn) -> list[Rule]:
    """Programs that are valid and otherwise arbitrary: any waits, any order, any patterns."""
    names = [f"r{i}" for i in range(draw(st.integers(1, 8)))]
    calls = [name for name in names if draw(st.booleans())]
    found = []
    for name in names:
        others = [other for other in calls if other != name]
        waits = {
            "after": draw(st.lists(st.sampled_from(others), max_size=2)) if others else [],
            "after_failure": draw(st.sampled_from(["", *others])),
            "input_pattern": draw(st.sampled_from(["", "x", r"(?P<n>\d)"])),
        }
        found.append(
            call_rule(name, **waits) if name in calls else answer_rule(name, "end", **waits)
        )
    return found


@given(programs(), st.text(alphabet="x1 ", max_size=4), st.lists(st.booleans(), max_size=8))
def test_a_step_ends_within_as_many_turns_as_there_are_rules(
    rules: list[Rule], text: str, failures: list[bool]
) -> None:
    """Whatever tools do, no rule fires twice, so that a step of rules cannot run for ever."""
    outcomes = iter(failures)

    def tool(_: ToolCall) -> tuple[str, bool]:
        return "result", next(outcomes, False)

    with suppress(RulesInvalid):  # no rule holds: that is an end as well
        said, answer = run_step(decide, rules_turn(rules, text), tool, len(rules))
        fired = [call.model_call_id for message in said for call in message.tool_calls]
        assert len(fired) == len(set(fired))
        assert answer is not None or len(fired) == len(rules)
