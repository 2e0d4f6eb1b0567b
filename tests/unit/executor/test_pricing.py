from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_ai.messages import ModelResponse
from pydantic_ai.usage import RequestUsage

from pentad_executor.pricing import cost_nano_usd, to_nano_usd


def response(model: str, usage: RequestUsage) -> ModelResponse:
    return ModelResponse(
        parts=[],
        model_name=model,
        provider_name="openai",
        provider_url="http://127.0.0.1:1/v1",
        usage=usage,
    )


def test_a_known_model_costs_what_the_list_says_also_behind_ones_own_address() -> None:
    """gpt-4o-mini: 0.15, cached 0.075 and 0.60 dollars per million tokens."""
    usage = RequestUsage(input_tokens=100, cache_read_tokens=40, output_tokens=20)

    assert cost_nano_usd(response("gpt-4o-mini", usage)) == 60 * 150 + 40 * 75 + 20 * 600


def test_a_model_without_a_price_has_no_cost() -> None:
    assert cost_nano_usd(response("my-own-llama", RequestUsage(input_tokens=1))) is None


def test_a_turn_without_usage_has_no_cost() -> None:
    usage = RequestUsage(unmeasured_requests=1)

    assert cost_nano_usd(response("gpt-4o-mini", usage)) is None


@pytest.mark.parametrize(
    ("usd", "nano"), [("0", 0), ("0.0000000001", 1), ("0.0000000375", 38), ("1.5", 1_500_000_000)]
)
def test_dollars_become_whole_nano_dollars(usd: str, nano: int) -> None:
    assert to_nano_usd(Decimal(usd)) == nano


@given(st.integers(0, 10**15))
def test_whole_nano_dollars_are_exact(nano: int) -> None:
    assert to_nano_usd(Decimal(nano).scaleb(-9)) == nano
