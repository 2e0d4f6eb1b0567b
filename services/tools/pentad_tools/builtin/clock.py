"""The current time."""

from datetime import UTC, datetime, tzinfo
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, Field

from pentad_tools.tool import ArgumentInvalid, Effect, ToolContext, tool


class CurrentTime(BaseModel):
    """What `current_time` returns."""

    time: str
    """ISO 8601 with offset, to the second."""

    weekday: str
    timezone: str


@tool(effect=Effect.PURE, timeout_s=5)
def current_time(
    context: ToolContext,
    timezone: Annotated[
        str, Field(max_length=64, description="IANA name such as Europe/Berlin")
    ] = "UTC",
) -> CurrentTime:
    """Tell the current date, time and weekday in a time zone."""
    now = datetime.fromtimestamp(context.clock.now(), _zone(timezone))
    return CurrentTime(
        time=now.isoformat(timespec="seconds"), weekday=f"{now:%A}", timezone=timezone
    )


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC  # known even where no time zones are installed
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ArgumentInvalid("timezone", f"there is no time zone {name!r}") from None
