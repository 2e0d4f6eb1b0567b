"""Who waits for events of which topic here."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

LOOK_S = 10.0
"""Who waits looks for itself after this long: an announcement may have been lost."""


class Subscribers:
    """All who wait in this process, by the key of their topic."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = {}

    def heard(self, message: bytes) -> None:
        """Have those look who wait for the topic whose key the message is."""
        for woken in self._waiting.get(message.decode(errors="replace"), ()):
            woken.set()

    def missed(self) -> None:
        """Have everybody look."""
        for each in self._waiting.values():
            for woken in each:
                woken.set()

    @contextmanager
    def watching(self, topic: str) -> Iterator[asyncio.Event]:
        """Yield what is set when a topic may have grown."""
        woken = asyncio.Event()
        self._waiting.setdefault(topic, set()).add(woken)
        try:
            yield woken
        finally:
            self._waiting[topic].discard(woken)
            if not self._waiting[topic]:
                del self._waiting[topic]
