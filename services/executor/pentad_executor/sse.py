"""Server-sent events, as models' providers stream them."""

_EVENT_BYTES_MAX = 4 * 1024 * 1024
_DATA = b"data:"


class EventReader:
    """Puts the events of one stream together from however it was cut on its way.

    Of an event only the data is read: providers repeat its name there. Lines end in LF or CR LF;
    a lone CR, which the standard allows as well, no provider sends.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, received: bytes) -> list[bytes]:
        """Return the data of the events that are whole now; ValueError when one has no end."""
        *lines, self._rest = (self._rest + received).split(b"\n")
        events: list[bytes] = []
        for line in lines:
            self._take(line.removesuffix(b"\r"), events)
        if len(self._rest) + self._size > _EVENT_BYTES_MAX:
            raise ValueError("an event has no end")
        return events

    def _take(self, line: bytes, events: list[bytes]) -> None:
        if line.startswith(_DATA):
            self._size += len(line)
            self._data.append(line[len(_DATA) :].removeprefix(b" "))
        elif not line and self._data:
            events.append(b"\n".join(self._data))
            self._data, self._size = [], 0
