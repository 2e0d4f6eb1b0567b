"""Times as people write them."""

import re
from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from pentad_cli.failure import CommandFailed
from pentad_cli.words import clip

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|min|h|d)")
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 24 * 3600}


def start_of(at: str, delay: str) -> Timestamp:
    """Return the time that `--at` or `--in` names; one without a zone is of this machine's."""
    if at and delay:
        raise CommandFailed("give either --at or --in", exit_code=2)
    if at:
        return moment_of("--at", at)
    time = Timestamp()
    time.FromDatetime(datetime.now(UTC) + duration_of("--in", delay))
    return time


def moment_of(option: str, text: str) -> Timestamp:
    """Return the time that an option names; one without a zone is of this machine's."""
    time = Timestamp()
    try:
        time.FromDatetime(datetime.fromisoformat(text).astimezone(UTC))
    except (ValueError, OverflowError):
        raise CommandFailed(
            f"{option} is a time such as 2026-12-24T18:00, not {clip(text)!r}", exit_code=2
        ) from None
    return time


def duration_of(option: str, text: str) -> timedelta:
    """Return the duration that an option names."""
    found = _DURATION.fullmatch(text.strip())
    try:
        if found:
            return timedelta(seconds=float(found[1]) * _SECONDS[found[2]])
    except OverflowError:
        pass
    raise CommandFailed(
        f"{option} is a duration such as 90s, 15m, 2h or 3d, not {clip(text)!r}", exit_code=2
    )
