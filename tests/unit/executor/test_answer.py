import pytest

from pentad_chassis.errors import ServiceError
from pentad_executor.answer import Answer, Ending
from pentad_executor.errors import (
    ModelOutputInvalid,
    ModelOutputTooLarge,
    ModelRefused,
    ModelUnavailable,
)
from pentad_executor.pricing import Tokens


def test_a_turn_is_the_text_the_calls_and_what_they_took() -> None:
    answer = Answer("openai:m")
    said = [answer.say("Let me "), answer.say("look.")]
    call = answer.call(1)
    call.id, call.tool, call.arguments = "call_a", "look", '{"key": 1}'
    answer.call(1).arguments += " "
    answer.model, answer.tokens, answer.ending = "m-1", Tokens(100, 20, 40), Ending.CALLS

    result = answer.result(7)

    assert result.message.text == "".join(said) == "Let me look."
    assert [(c.tool, c.model_call_id) for c in result.message.tool_calls] == [("look", "call_a")]
    assert result.message.tool_calls[0].arguments.text == '{"key": 1} '
    usage = result.usage
    assert (usage.input_tokens, usage.output_tokens, usage.cached_input_tokens) == (100, 20, 40)
    assert (usage.cost_nano_usd, result.model) == (7, "m-1")


def test_a_turn_without_tokens_or_price_says_so() -> None:
    answer = Answer("openai:m")
    answer.ending = Ending.WHOLE

    usage = answer.result(None).usage

    assert usage.input_tokens == 0
    assert not usage.HasField("cost_nano_usd")


def test_calls_without_an_id_get_one_each() -> None:
    answer = Answer("openai:m")
    answer.ending = Ending.CALLS
    for index in range(3):
        answer.call(index).tool = "look"

    ids = {call.model_call_id for call in answer.result(None).message.tool_calls}

    assert len(ids) == 3
    assert "" not in ids


@pytest.mark.parametrize(
    ("ending", "error"),
    [
        (None, ModelOutputInvalid),
        (Ending.CALLS, ModelOutputInvalid),
        (Ending.FILTERED, ModelRefused),
        (Ending.FAILED, ModelUnavailable),
    ],
)
def test_an_answer_that_is_none_is_no_turn(
    ending: Ending | None, error: type[ServiceError]
) -> None:
    answer = Answer("openai:m")
    answer.say("half of i")
    answer.ending = ending

    with pytest.raises(error):
        answer.result(None)


def test_all_that_a_model_writes_is_bounded_together() -> None:
    answer = Answer("openai:m")
    answer.say("x" * 2 * 1024 * 1024)
    answer.hold(2 * 1024 * 1024)

    with pytest.raises(ModelOutputTooLarge):
        answer.call(0)
