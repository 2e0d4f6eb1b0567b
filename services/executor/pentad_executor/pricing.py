"""What a turn costs by the public price list."""

from contextlib import suppress
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Annotated

from genai_prices import Usage as Priced
from genai_prices import calc_price
from pydantic import Field

from pentad.state.v1.budget_service_pb2 import Price

_NANO = Decimal(1_000_000_000)

Count = Annotated[int, Field(ge=0)]
"""A number of tokens in a provider's report; less than none would be credit."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a turn consumed, as its provider counts."""

    input: int
    """All of the prompt, cached or not."""
    output: int
    cached: int = 0
    """Tokens of the prompt that were read from the provider's cache."""
    written: int = 0
    """Tokens of the prompt that were written to it."""


def cost_nano_usd(tokens: Tokens, model: str, provider: str, url: str) -> int | None:
    """Return the cost in 10^-9 US dollars; None for a model without a price.

    `url` is the API's: resellers have prices of their own. Behind any other address the model
    costs what its own provider asks.
    """
    used = Priced(
        input_tokens=tokens.input,
        output_tokens=tokens.output,
        cache_read_tokens=tokens.cached,
        cache_write_tokens=tokens.written,
    )
    with suppress(LookupError, ValueError):
        return to_nano_usd(calc_price(used, model, provider_api_url=url).total_price)
    with suppress(LookupError, ValueError):
        return to_nano_usd(calc_price(used, model, provider_id=provider).total_price)
    return None


def price_bound(
    input_tokens: int, output_tokens: int, model: str, provider: str, url: str
) -> Price | None:
    """Return what so many tokens cost at most, whatever of the input a provider caches."""
    read = cost_nano_usd(Tokens(input_tokens, 0), model, provider, url)
    cached = cost_nano_usd(Tokens(input_tokens, 0, written=input_tokens), model, provider, url)
    whole = cost_nano_usd(Tokens(input_tokens, output_tokens), model, provider, url)
    if read is None or cached is None or whole is None:
        return None
    return Price(
        input_nano_usd=max(read, cached),
        output_nano_usd_per_token=-(-(whole - read) // max(output_tokens, 1)),
    )


def to_nano_usd(usd: Decimal) -> int:
    """Return whole nano-dollars; a fraction counts as one, so that no budget is overspent."""
    return int((usd * _NANO).to_integral_value(ROUND_CEILING))
