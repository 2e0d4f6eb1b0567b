"""What goes with a call beside its request."""

from collections.abc import Iterator

import grpc

Metadata = tuple[tuple[str, str | bytes], ...]


class Pairs(grpc.aio.Metadata):
    """Metadata to be sent and no more: gRPC's own sorts pairs into a dictionary and out again."""

    def __init__(self, *pairs: tuple[str, str | bytes]) -> None:
        self._pairs = pairs

    def __len__(self) -> int:
        return len(self._pairs)

    def __iter__(self) -> Iterator[tuple[str, str | bytes]]:
        return iter(self._pairs)
