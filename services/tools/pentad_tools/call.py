"""One call whose arguments are right."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import pydantic_core

from pentad.state.v1.effect_service_pb2 import EffectKey
from pentad_tools.tool import AnyTool


@dataclass(frozen=True, slots=True)
class Call:
    """A tool, what it is called with, and what names the call in the ledger."""

    tool: AnyTool
    arguments: dict[str, Any]
    """By parameter name, the context included."""

    key: EffectKey
    fingerprint: bytes


def fingerprint(tool: str, arguments: str) -> bytes:
    """Return a digest of tool and arguments that does not depend on how the JSON is laid out."""
    canonical = json.dumps(
        pydantic_core.from_json(arguments), sort_keys=True, separators=(",", ":")
    )
    return hashlib.blake2b(f"{tool}\n{canonical}".encode(), digest_size=32).digest()
