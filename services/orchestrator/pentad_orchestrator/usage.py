"""What runs consume, added up. Pure."""

from pentad.state.v1.message_pb2 import Usage


def total(before: Usage, more: Usage, *, first: bool) -> Usage:
    """Return both together; the cost is known only as long as everybody's is.

    `first` says that nothing was consumed before.
    """
    added = Usage(
        input_tokens=before.input_tokens + more.input_tokens,
        output_tokens=before.output_tokens + more.output_tokens,
        cached_input_tokens=before.cached_input_tokens + more.cached_input_tokens,
    )
    if (first or before.HasField("cost_nano_usd")) and more.HasField("cost_nano_usd"):
        added.cost_nano_usd = before.cost_nano_usd + more.cost_nano_usd
    return added
