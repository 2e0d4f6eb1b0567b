"""Models behind a provider's HTTP API, which streams what they write as server-sent events.

Imported only where a provider is configured: its libraries take a moment to load.
"""

import asyncio
import io
import ssl
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Protocol
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import truststore
from pydantic_core import from_json, to_json

from pentad.executor.v1.executor_service_pb2 import ExecuteTurnRequest, TurnResult
from pentad.state.v1.budget_service_pb2 import Price
from pentad.state.v1.message_pb2 import Message
from pentad_executor.answer import Answer
from pentad_executor.config import Config
from pentad_executor.errors import ModelOutputInvalid
from pentad_executor.models import Call
from pentad_executor.pricing import cost_nano_usd, price_bound
from pentad_executor.prompt import conversation
from pentad_executor.provider_errors import (
    Fault,
    connection_lost,
    fault_of,
    is_refusal,
    to_service_error,
)
from pentad_executor.sse import EventReader

_OK = 200
_ERROR_BYTES_MAX = 64 * 1024
_END_S = 1.0
"""Patience with the end of a response behind the end of its answer."""

_HEADERS = {
    "accept": "text/event-stream",
    "accept-encoding": "identity",  # no token is to wait inside a compressor
    "content-type": "application/json",
    "user-agent": "pentad",
}


_CALL_ID = "x-client-request-id"
"""Under this OpenAI keeps a caller's own name of a request; nobody else minds it."""


class Wire(Protocol):
    """A provider's API: what a turn is in its terms."""

    provider: str
    """Its name, before the colon of `openai:gpt-5`."""
    variable: str
    """The environment variable that holds its key."""
    url: str
    """Of turns."""
    headers: Mapping[str, str]
    """What every request carries, the key above all."""

    def request(
        self, name: str, turn: ExecuteTurnRequest, messages: Sequence[Message]
    ) -> dict[str, Any]:
        """Return the body that asks for a turn."""
        ...

    def read(self, event: bytes, answer: Answer) -> str:
        """Add an event to the answer, and return its piece of text.

        Raises Fault for a report of an error, ValueError for what is no event of this API.
        """
        ...


class ProviderModel:
    """The models of one provider."""

    def __init__(self, http: aiohttp.ClientSession, wire: Wire, prompt_bytes: int) -> None:
        self._http = http
        self._wire = wire
        self._prompt_bytes = prompt_bytes
        self._proxy = _proxy(wire.url)

    async def stream(
        self, name: str, turn: ExecuteTurnRequest, call: Call
    ) -> AsyncGenerator[str | TurnResult, None]:
        """Yield text as it arrives, then the turn. One attempt: the caller decides on another.

        What came in together leaves together, and nothing waits for more.
        """
        wire = self._wire
        messages = conversation(turn, self._prompt_bytes)
        reference = f"{wire.provider}:{name}"
        answer, events = Answer(reference), EventReader()
        with self._telling(reference):
            async with self._ask(wire.request(name, turn, messages), call) as response:
                while not answer.over and (received := await response.content.readany()):
                    text = "".join([wire.read(e, answer) for e in events.feed(received)])
                    if text:
                        yield text
                await _ended(response)
            cost = self._cost(answer)
            if answer.over and answer.tokens:
                # Whatever the answer is worth, it has to be paid.
                call.usage = answer.usage(cost)
            result = answer.result(cost)
        yield result

    def weigh(self, name: str, turn: ExecuteTurnRequest) -> int:
        """Return how many bytes the request has that asks for the turn."""
        messages = conversation(turn, self._prompt_bytes)
        return len(to_json(self._wire.request(name, turn, messages)))

    def price(self, name: str, input_tokens: int, output_tokens: int) -> Price | None:
        """Return what so many tokens cost at most; None for a model without a price."""
        wire = self._wire
        return price_bound(input_tokens, output_tokens, name, wire.provider, wire.url)

    @asynccontextmanager
    async def _ask(self, body: dict[str, Any], call: Call) -> AsyncIterator[aiohttp.ClientResponse]:
        """Open the response; leaving it before its end closes the connection."""
        call.taken = True
        try:
            async with self._http.post(
                self._wire.url,
                # As a file: of plain bytes above a megabyte the client warns.
                data=io.BytesIO(to_json(body)),
                headers={**_HEADERS, **self._wire.headers, _CALL_ID: call.call_id},
                proxy=self._proxy,
                # The key is for this address only.
                allow_redirects=False,
            ) as response:
                if response.status != _OK:
                    call.taken = not is_refusal(response.status)
                    raise fault_of(await _error(response), response.status, response.headers)
                yield response
        except aiohttp.ClientConnectorError:
            call.taken = False
            raise

    def _cost(self, answer: Answer) -> int | None:
        if answer.tokens is None:
            return None
        return cost_nano_usd(answer.tokens, answer.model, self._wire.provider, self._wire.url)

    @contextmanager
    def _telling(self, reference: str) -> Iterator[None]:
        try:
            yield
        except Fault as fault:
            raise to_service_error(fault, reference, self._wire.variable) from fault
        except aiohttp.ClientError as error:
            raise connection_lost(error, reference) from error
        except ValueError as error:
            raise ModelOutputInvalid(reference, "the answer has the wrong shape") from error


@asynccontextmanager
async def open_http(config: Config) -> AsyncIterator[aiohttp.ClientSession]:
    """Open the HTTP client of all providers; turns bound their own time, it bounds the rest."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=config.model_connections, ssl=_trust()),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=config.model_connect_timeout_s),
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as session:
        yield session


def _trust() -> ssl.SSLContext:
    """Whom this machine trusts; macOS keeps that where OpenSSL does not look."""
    if sys.platform == "darwin":
        return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return ssl.create_default_context()


def _proxy(url: str) -> str | None:
    """The proxy that the environment names for the address.

    The client would find it too, but look for credentials of its own in the user's files as well.
    """
    parts = urlsplit(url)
    proxies = getproxies()
    if proxy_bypass(parts.netloc):
        return None
    return proxies.get(parts.scheme) or proxies.get("all")


async def _error(response: aiohttp.ClientResponse) -> object:
    """The error object in a response that is no answer, or nothing."""
    body = b""
    while len(body) < _ERROR_BYTES_MAX and (received := await response.content.readany()):
        body += received
    try:
        found = from_json(body)
    except ValueError:
        return ""
    return found.get("error", found) if isinstance(found, dict) else ""


async def _ended(response: aiohttp.ClientResponse) -> None:
    """Find the end of the response, for only then can its connection serve another turn."""
    with suppress(TimeoutError, aiohttp.ClientError):
        async with asyncio.timeout(_END_S):
            await response.content.readany()
