"""A small server that speaks Anthropic's streamed Messages API and plays one answer a request."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from harness.http_server import Exchange, serving_http

API_KEY = "sk-ant-test-0123456789"
_FRAGMENT = 7


@dataclass(frozen=True)
class Answer:
    """How one request is answered."""

    text: str = ""
    call: tuple[str, dict[str, Any]] | None = None
    """A tool's name and arguments."""
    input_tokens: int = 60
    cache_read_tokens: int = 40
    output_tokens: int = 20
    status: int = 200
    error: str = "api_error"
    """Type of the error when the status is another."""


class AnthropicServer:
    """Answers requests by the script and remembers them."""

    def __init__(self, script: Sequence[Answer]) -> None:
        self._script = list(script)
        self.api_key = API_KEY
        self.base_url = ""
        self.requests: list[dict[str, Any]] = []

    async def handle(self, exchange: Exchange) -> None:
        """Answer one request."""
        given = exchange.request.headers.get("authorization")
        if exchange.request.path != "/v1/messages":
            await exchange.answer(404, _error("not_found_error"))
        elif given != f"Bearer {self.api_key}":
            await exchange.answer(401, _error("authentication_error"))
        else:
            self.requests.append(exchange.request.json())
            answer = self._script[len(self.requests) - 1]
            if answer.status != 200:
                await exchange.answer(answer.status, _error(answer.error))
                return
            for event in events(self.requests[-1]["model"], answer):
                await exchange.event(json.dumps(event), event["type"])
            await exchange.end()


@asynccontextmanager
async def open_anthropic_server(script: Sequence[Answer]) -> AsyncIterator[AnthropicServer]:
    """Serve the script on loopback while the block runs."""
    server = AnthropicServer(script)
    async with serving_http(server.handle) as address:
        server.base_url = address
        yield server


def events(model: str, answer: Answer) -> list[dict[str, Any]]:
    """Return the events of a streamed message, as Anthropic sends them."""
    usage = {
        "input_tokens": answer.input_tokens,
        "cache_read_input_tokens": answer.cache_read_tokens,
        "cache_creation_input_tokens": 0,
        "output_tokens": 1,
    }
    message: dict[str, Any] = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": [],
        "stop_reason": None, "stop_sequence": None, "usage": usage,
    }  # fmt: skip
    found: list[dict[str, Any]] = [{"type": "message_start", "message": message}]
    blocks: list[tuple[dict[str, Any], str, str, str]] = []
    if answer.text:
        blocks.append(({"type": "text", "text": ""}, "text_delta", "text", answer.text))
    if answer.call:
        name, arguments = answer.call
        block = {"type": "tool_use", "id": "toolu_1", "name": name, "input": {}}
        blocks.append((block, "input_json_delta", "partial_json", json.dumps(arguments)))
    for index, (block, kind, key, content) in enumerate(blocks):
        found.append({"type": "content_block_start", "index": index, "content_block": block})
        found += [
            {
                "type": "content_block_delta",
                "index": index,
                "delta": {"type": kind, key: content[at : at + _FRAGMENT]},
            }
            for at in range(0, len(content), _FRAGMENT)
        ]
        found.append({"type": "content_block_stop", "index": index})
    reason = {"stop_reason": "tool_use" if answer.call else "end_turn", "stop_sequence": None}
    spent = {"output_tokens": answer.output_tokens}
    return [
        *found,
        {"type": "message_delta", "delta": reason, "usage": spent},
        {"type": "message_stop"},
    ]


def _error(kind: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": "the script says so"}}
