"""What a turn costs by the public price list."""

from decimal import ROUND_CEILING, Decimal

from pydantic_ai.messages import ModelResponse

_NANO = Decimal(1_000_000_000)


def cost_nano_usd(response: ModelResponse) -> int | None:
    """Return the cost in 10^-9 US dollars; None for a model without a price or without usage."""
    try:
        return to_nano_usd(response.cost().total_price)
    except (LookupError, ValueError):
        return None


def to_nano_usd(usd: Decimal) -> int:
    """Return whole nano-dollars; a fraction counts as one, so that no budget is overspent."""
    return int((usd * _NANO).to_integral_value(ROUND_CEILING))
