"""The store as the nouns see it: scripts that are atomic, and plain reads."""

import hashlib
import re
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
_SHARED = {
    "accounts": frozenset(
        {
            "budget_begin_day",
            "budget_delete",
            "budget_put",
            "budget_read",
            "budget_reservations",
            "budget_reserve",
            "budget_settle",
            "budget_usage",
        }
    ),
    "append": frozenset({"run_append", "run_append_all"}),
    "decisions": frozenset({"approval_decide", "run_append_all", "run_resume"}),
    "slots": frozenset({"session_append", "session_enter", "session_leave"}),
}
"""What some scripts share beyond the prelude, and which: those of budgets, those that append to a
journal, those that know of approvals, and those that know of who is at a session."""

_COMMENT = re.compile(r"^ *--.*\n", re.MULTILINE)
_PARAGRAPHS = re.compile(r"\n\n(?=\S)")
_DEFINED = re.compile(r"^local (?:function )?(\w+(?:, \w+)*)", re.MULTILINE)

_PASSING = frozenset({
    "agent_get", "job_peek", "registry_deregister", "registry_list", "registry_register",
    "run_events", "run_peek", "run_text", "session_read", "trace_record",
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
    """Return the script in `scripts/NAME.lua`, behind what it shares with others."""
    text = _read(name)
    for part in (*(part for part, users in _SHARED.items() if name in users), _PRELUDE):
        text = _with_used(_read(part), text)
    source = text.encode()
    # A script's name in the protocol is its SHA-1; nothing is secured by it.
    sha = hashlib.sha1(source, usedforsecurity=False).hexdigest()
    return Script(name, source, sha, name not in _PASSING)


def _read(part: str) -> str:
    return _COMMENT.sub("", (_SOURCES / f"{part}.lua").read_text("utf-8"))


def _with_used(shared: str, text: str) -> str:
    """Return a script behind those paragraphs of a shared part that it needs.

    A function costs every run of the script that defines it.
    """
    for paragraph in reversed(_PARAGRAPHS.split(shared)):
        names = [name for names in _DEFINED.findall(paragraph) for name in names.split(", ")]
        if not names or any(re.search(rf"\b{name}\b", text) for name in names):
            text = f"{paragraph.rstrip()}\n\n{text}"
    return text


def to_dict(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    """Return a hash as a dict; the protocol sends it as a flat list."""
    return dict(zip(flat[::2], flat[1::2], strict=True))
