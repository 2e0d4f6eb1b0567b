"""The file that holds the first key, readable by its owner only."""

import os
from pathlib import Path

from pentad_chassis.clock import random_id
from pentad_chassis.config import ConfigInvalid
from pentad_gateway.keys import generate_key, is_key


def read_or_create(path: Path) -> str:
    """Return the key in the file, which is made with a new one when there is none.

    Of several gateways that do so at once, one makes the file and all return its key.
    """
    try:
        if not path.exists():
            _create(path)
        key = path.read_bytes().decode(errors="replace").strip()
    except OSError as error:
        raise ConfigInvalid((f"{path}: {error.strerror}",)) from None
    if not is_key(key):
        raise ConfigInvalid((f"{path}: holds no API key; delete it to have one made",))
    return key


def others_may_read(path: Path) -> bool:
    """Tell whether anyone but the owner may read the file."""
    return bool(path.stat().st_mode & 0o077)


def _create(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{random_id()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(generate_key() + "\n")
            file.flush()
            os.fsync(file.fileno())
        # A link appears whole, and, unlike a rename, never takes another one's place.
        path.hardlink_to(draft)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
