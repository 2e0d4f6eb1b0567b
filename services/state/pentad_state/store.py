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


@dataclass(frozen=True, slots=True)
class Script:
    """One atomic transition of the store. All keys that it touches stand in KEYS, in one slot."""

    name: str
    source: bytes
    sha: str


class Store(Protocol):
    """Runs commands; each raises StoreUnavailable when its outcome is not known."""

    async def call(self, *command: Value) -> Reply:
        """Run one command that a server knows by itself."""
        ...

    async def run(self, script: Script, keys: Sequence[Value], *args: Value) -> Reply:
        """Run one script."""
        ...


@cache
def script(name: str) -> Script:
    """Return the script in `scripts/NAME.lua`, behind what all scripts share."""
    source = b"\n".join((_SOURCES / f"{part}.lua").read_bytes() for part in (_PRELUDE, name))
    # A script's name in the protocol is its SHA-1; nothing is secured by it.
    return Script(name, source, hashlib.sha1(source, usedforsecurity=False).hexdigest())


def to_dict(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    """Return a hash as a dict; the protocol sends it as a flat list."""
    return dict(zip(flat[::2], flat[1::2], strict=True))
