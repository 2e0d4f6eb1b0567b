"""The store as the nouns see it: scripts that are atomic, and plain reads."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Protocol, TypeAlias

Value: TypeAlias = bytes | str | int

Reply: TypeAlias = Any
"""As the engine gives it: bytes, integers, None and lists of them; its script says which."""

_SOURCES = files("pentad_state") / "scripts"
_PRELUDE = "prelude"

_PASSING = frozenset({
    "agent_get", "registry_deregister", "registry_list", "registry_register", "run_events",
    "run_peek", "run_text", "session_read", "trace_record",
})  # fmt: skip
"""Scripts whose answer may be lost with the store's last moments: they change nothing, or only what
comes again by itself or soon goes, and nobody relies on what they say. Clients rely on what
`run_tail` says: it must be there when they go on."""


@dataclass(frozen=True, slots=True)
class Script:
    """One atomic transition of the store. All keys that it touches stand in KEYS, in one slot."""

    name: str
    source: bytes
    sha: str
    is_lasting: bool = True
    """Whether its answer promises that what it changed, and what it says, stays."""


class Store(Protocol):
    """Runs commands; each raises StoreUnavailable when its outcome is not known."""

    async def call(self, *command: Value, lasting: bool = False) -> Reply:
        """Run one command that a server knows by itself; its second word is its key.

        With `lasting` the answer promises that what it says stays.
        """
        ...

    async def run(self, script: Script, keys: Sequence[Value], *args: Value) -> Reply:
        """Run one script."""
        ...

    async def everywhere(self, *command: Value) -> list[Reply]:
        """Run one command that has no key on every server that holds part of the store."""
        ...

    async def probe(self, within_s: float) -> list[str]:
        """Return of each of these servers why it does not serve; nothing of one that does."""
        ...


@cache
def script(name: str) -> Script:
    """Return the script in `scripts/NAME.lua`, behind what all scripts share."""
    source = b"\n".join((_SOURCES / f"{part}.lua").read_bytes() for part in (_PRELUDE, name))
    # A script's name in the protocol is its SHA-1; nothing is secured by it.
    sha = hashlib.sha1(source, usedforsecurity=False).hexdigest()
    return Script(name, source, sha, name not in _PASSING)


def to_dict(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    """Return a hash as a dict; the protocol sends it as a flat list."""
    return dict(zip(flat[::2], flat[1::2], strict=True))
