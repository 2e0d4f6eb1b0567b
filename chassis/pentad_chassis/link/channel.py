"""A channel whose calls go over links wherever there is one."""

from collections.abc import Callable, Iterable
from typing import Any

import grpc

from pentad_chassis.link.call import Call
from pentad_chassis.link.links import Links
from pentad_chassis.metadata import Metadata, Pairs

Encode = Callable[[Any], bytes]
Decode = Callable[[bytes], Any]


class LinkedChannel:
    """Hands out callables that, as far as a hop uses them, are like gRPC's own."""

    def __init__(self, plain: grpc.aio.Channel, links: Links, credential: Metadata) -> None:
        self._plain = plain
        self._links = links
        self._credential = credential

    def _alone(self, metadata: Iterable[tuple[str, str | bytes]]) -> Any:
        """Return what goes with a call that goes by itself; a link has its credential already."""
        return Pairs(*metadata, *self._credential) if self._credential else metadata

    def unary_unary(self, method: str, encode: Encode, decode: Decode) -> Any:
        """Return a callable for an RPC with one answer."""
        plain: Any = self._plain.unary_unary(method, encode, decode)
        pick, alone = self._links.pick, self._alone

        async def call(request: Any, *, timeout: float, metadata: Any) -> Any:
            link = pick()
            if link is None:
                return await plain(request, timeout=timeout, metadata=alone(metadata))
            begun = link.begin(method, encode(request), timeout, metadata)
            try:
                return decode(await begun.answer())
            finally:
                begun.leave()

        return call

    def unary_stream(self, method: str, encode: Encode, decode: Decode) -> Any:
        """Return a callable for an RPC with a stream of answers."""
        plain: Any = self._plain.unary_stream(method, encode, decode)
        pick, alone = self._links.pick, self._alone

        def call(request: Any, *, timeout: float, metadata: Any) -> Any:
            link = pick()
            if link is None:
                return plain(request, timeout=timeout, metadata=alone(metadata))
            return _Responses(link.begin(method, encode(request), timeout, metadata), decode)

        return call


class _Responses:
    def __init__(self, call: Call, decode: Decode) -> None:
        self._call = call
        self._decode = decode
        self._left = False

    async def read(self) -> Any:
        message = await self._call.read()
        if message is None:
            self.cancel()
            return grpc.aio.EOF
        return self._decode(message)

    def cancel(self) -> bool:
        if self._left:
            return False
        self._left = True
        self._call.leave()
        return True
