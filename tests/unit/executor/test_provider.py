"""A provider's models over HTTP, without an executor around them."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import cast

import aiohttp
import pytest
from harness.http_server import Exchange, serving_http
from harness.openai_server import Turn, chunks, open_openai_server
from harness.turns import llm_turn
from pydantic import SecretStr

from pentad_executor.config import Config
from pentad_executor.models import Call
from pentad_executor.openai_models import openai_models
from pentad_executor.provider import _proxy, open_http

MEGABYTE = 1024 * 1024
NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


class Response:
    """A response whose body arrives in the given reads."""

    status = 200

    def __init__(self, reads: Sequence[bytes]) -> None:
        self._reads = iter(reads)
        self.content = self

    async def readany(self) -> bytes:
        return next(self._reads, b"")


class Http:
    """A client that gets one response."""

    def __init__(self, reads: Sequence[bytes]) -> None:
        self._response = Response(reads)

    @asynccontextmanager
    async def post(self, url: str, **_: object) -> AsyncIterator[Response]:
        yield self._response


async def test_what_is_read_together_is_passed_on_together_and_nothing_waits_for_more() -> None:
    said = "Three tickets are open, and two of them are urgent."
    events = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks({"model": "m"}, Turn(said))]
    first, rest = events[1].encode(), "".join([*events[2:], "data: [DONE]\n\n"]).encode()
    reads = [events[0].encode(), first + rest[:9], rest[9:-9], rest[-9:]]
    config = Config(openai_api_key=None)
    models = openai_models(config, cast("aiohttp.ClientSession", Http(reads)))

    *pieces, last = [piece async for piece in models.stream("m", llm_turn(), Call("id"))]

    assert pieces == [said[:7], said[7:]]
    assert not isinstance(last, str)
    assert last.message.text == said


async def test_a_prompt_of_megabytes_is_sent_without_a_warning() -> None:
    async with open_openai_server([Turn(text="long")]) as server:
        config = Config(
            openai_api_key=SecretStr(server.api_key),
            openai_base_url=server.base_url,
            max_prompt_bytes=4 * MEGABYTE,
        )
        async with open_http(config) as http:
            models = openai_models(config, http)
            *_, last = [
                p async for p in models.stream("m", llm_turn(text="x" * 2 * MEGABYTE), Call("id"))
            ]

    assert not isinstance(last, str)
    assert last.message.text == "long"
    assert len(server.requests[0]["messages"][-1]["content"]) == 2 * MEGABYTE


@pytest.mark.parametrize(
    ("environment", "url", "proxy"),
    [
        ({}, "https://api.openai.com/v1", None),
        ({"https_proxy": "http://p:1"}, "https://api.openai.com/v1", "http://p:1"),
        ({"https_proxy": "http://p:1"}, "http://models/v1", None),
        ({"all_proxy": "http://p:2"}, "http://models/v1", "http://p:2"),
        ({"http_proxy": "http://p:1", "no_proxy": "models"}, "http://models:8000/v1", None),
    ],
)
def test_the_environment_names_the_proxy(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], url: str, proxy: str | None
) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert _proxy(url) == proxy


async def test_a_proxy_carries_the_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """The address does not exist: only by the proxy there is an answer."""
    asked: list[str] = []

    async def proxy(exchange: Exchange) -> None:
        asked.append(exchange.request.path)
        for chunk in chunks({"model": "m"}, Turn("Hi")):
            await exchange.event(json.dumps(chunk))
        await exchange.end()

    async with serving_http(proxy) as address:
        monkeypatch.setenv("http_proxy", address)
        monkeypatch.setenv("no_proxy", "")
        config = Config(openai_api_key=None, openai_base_url="http://models.invalid/v1")
        async with open_http(config) as http:
            models = openai_models(config, http)
            *_, last = [piece async for piece in models.stream("m", llm_turn(), Call("id"))]

    assert asked == ["http://models.invalid/v1/chat/completions"]
    assert not isinstance(last, str)
    assert last.message.text == "Hi"
