"""Where each thing is kept: names of runs, partitions and keys.

The part of a key in braces is all that a cluster looks at, so everything of one partition lives
in one slot and one script can change it atomically.
"""

import hashlib
import re

PARTITIONS = 64

RUN_ID_CHARS = 28
"""Two digits of its partition, and what tells it from others there."""

_PREFIX = "pentad"
_PATHS = tuple(f"{_PREFIX}:{{p{partition:02d}}}:" for partition in range(PARTITIONS))
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_RUN_ID = re.compile(r"(?:[0-5][0-9]|6[0-3])[0-9a-hjkmnp-tv-z]{26}")


def run_id_for(tenant: str, request_id: str) -> str:
    """Return the id of the run that a request creates: its partition, then 130 bits of digest."""
    digest = _digest(tenant, request_id)
    number = int.from_bytes(digest[1:18], "big")
    letters = "".join(_ALPHABET[(number >> 5 * i) & 31] for i in range(26))
    return f"{digest[0] % PARTITIONS:02d}{letters}"


def partition_of_run(run_id: str) -> int:
    """Return where a run is kept; an id that is none of ours has a place, with nothing there."""
    if _RUN_ID.fullmatch(run_id):
        return int(run_id[:2])
    return partition_of(run_id)


def is_run_id(text: str) -> bool:
    """Whether a text may be the id of a run."""
    return _RUN_ID.fullmatch(text) is not None


def place_in(partition: int) -> str:
    """Return a place of jobs that is kept in a partition, where no run has it as its id."""
    return f"{partition:02d}{_ALPHABET[0] * (RUN_ID_CHARS - 2)}"


def partition_of(*names: str) -> int:
    """Return where the thing of these names is kept."""
    return _digest(*names)[0] % PARTITIONS


def key(partition: int, kind: str, *names: str) -> str:
    """Return the key of one thing; different names never give the same key."""
    path = _PATHS[partition] + kind
    # Only the last name may hold anything, so each one before it says where it ends.
    for name in names[:-1]:
        path += f":{len(name)}:{name}"
    return f"{path}:{names[-1]}" if names else path


def channel(name: str) -> str:
    """Return the name of a channel of announcements."""
    return f"{_PREFIX}:{name}"


def _digest(*names: str) -> bytes:
    text = "".join(f"{len(name)}:{name}" for name in names)
    return hashlib.sha256(text.encode()).digest()
