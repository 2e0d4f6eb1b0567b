"""API keys: what they look like and what they are stored as."""

import re
import secrets
from hashlib import sha256

_FORMAT = re.compile(r"pentad_[A-Za-z0-9_-]{43}")


def generate_key() -> str:
    """Return a new key: 256 bits that nobody can guess."""
    return f"pentad_{secrets.token_urlsafe(32)}"


def is_key(text: str) -> bool:
    """Tell whether `text` has the form of a key."""
    return _FORMAT.fullmatch(text) is not None


def digest(key: str) -> str:
    """Return what a key is stored as. A plain hash serves: keys are random, not chosen."""
    return sha256(key.encode()).hexdigest()
