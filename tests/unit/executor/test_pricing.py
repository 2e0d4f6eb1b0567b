from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pentad_executor.pricing import Tokens, cost_nano_usd, to_nano_usd

OWN = "http://127.0.0.1:1/v1/chat/completions"
TOKENS = Tokens(input=100, cached=40, output=20)
LISTED = 60 * 150 + 40 * 75 + 20 * 600
"""gpt-4o-mini: 0.15, cached 0.075 and 0.60 dollars per million tokens."""


@pytest.mark.parametrize("url", ["https://api.openai.com/v1/chat/completions", OWN])
def test_a_known_model_costs_what_the_list_says_also_behind_ones_own_address(url: str) -> None:
    assert cost_nano_usd(TOKENS, "gpt-4o-mini", "openai", url) == LISTED


def test_a_model_without_a_price_has_no_cost() -> None:
    assert cost_nano_usd(Tokens(input=1, output=0), "my-own-llama", "openai", OWN) is None


def test_tokens_that_cannot_be_right_have_no_cost() -> None:
    assert cost_nano_usd(Tokens(1, 0, cached=2), "gpt-4o-mini", "openai", OWN) is None


def test_a_resellers_address_has_the_resellers_prices() -> None:
    reseller = "https://openrouter.ai/api/v1/chat/completions"

    assert cost_nano_usd(TOKENS, "anthropic/claude-3.5-haiku", "openai", reseller) is not None
    assert cost_nano_usd(TOKENS, "anthropic/claude-3.5-haiku", "openai", OWN) is None


@pytest.mark.parametrize(
    ("usd", "nano"), [("0", 0), ("0.0000000001", 1), ("0.0000000375", 38), ("1.5", 1_500_000_000)]
)
def test_dollars_become_whole_nano_dollars(usd: str, nano: int) -> None:
    assert to_nano_usd(Decimal(usd)) == nano


@given(st.integers(0, 10**15))
def test_whole_nano_dollars_are_exact(nano: int) -> None:
    assert to_nano_usd(Decimal(nano).scaleb(-9)) == nano
