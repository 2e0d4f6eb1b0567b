from dataclasses import replace

import pytest

from pentad_chassis.clock import FakeClock
from pentad_tools.builtin.clock import CurrentTime, current_time
from pentad_tools.tool import ArgumentInvalid, ToolContext


def test_the_time_is_told_for_a_zone(context: ToolContext) -> None:
    context = replace(context, clock=FakeClock(1_800_000_000))

    assert current_time(context) == CurrentTime(
        time="2027-01-15T08:00:00+00:00", weekday="Friday", timezone="UTC"
    )
    assert current_time(context, "Asia/Tokyo").time == "2027-01-15T17:00:00+09:00"


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../etc/passwd", "/etc/passwd", "", "a\0b"])
def test_an_unknown_zone_is_the_arguments_fault(context: ToolContext, zone: str) -> None:
    with pytest.raises(ArgumentInvalid, match="timezone"):
        current_time(context, zone)
