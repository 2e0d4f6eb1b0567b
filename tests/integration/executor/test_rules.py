"""The offline model over the wire, and what an executor without keys does not load."""

import subprocess
import sys

import pytest
from harness.turns import answer_rule, asked, call_rule, rules_turn, told

from pentad_chassis.errors import Code, ServiceError

from .conftest import OpenExecutor

RULES = [
    call_rule("count", "look", {"key": "{input.word}"}, input_pattern=r"how many (?P<word>\w+)"),
    answer_rule("report", "There are {count.n} of them, no more and no less.", after=["count"]),
]


async def test_a_step_of_rules_asks_for_its_tool_and_then_answers(
    open_executor: OpenExecutor,
) -> None:
    async with open_executor() as executor:
        pieces, first = await executor.turn(rules_turn(RULES, "how many tickets?"))
        said = [first.message, told("count", '{"n": 12}')]
        streamed, second = await executor.turn(rules_turn(RULES, "go", messages=said))

    assert pieces == streamed == []
    assert first.message == asked("count", arguments='{"key":"tickets"}')
    assert second.message.text == "There are 12 of them, no more and no less."
    assert second.usage.cost_nano_usd == 0
    assert second.model == "clerk"


async def test_wrong_rules_are_the_callers_mistake(open_executor: OpenExecutor) -> None:
    async with open_executor() as executor:
        with pytest.raises(ServiceError, match="rule 'a': its pattern") as caught:
            await executor.turn(rules_turn([answer_rule("a", "x", input_pattern="(")]))

    assert caught.value.reason == "RULES_INVALID"
    assert caught.value.code is Code.INVALID_ARGUMENT
    assert caught.value.metadata == {"rule": "a"}


def test_without_keys_no_provider_library_is_loaded() -> None:
    """They take half a second, which an offline start is not to pay."""
    program = (
        "import sys, pentad_executor.app\n"
        "print([m for m in ('aiohttp', 'genai_prices') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)

    assert ran.stdout.strip() == b"[]"
