"""A small OpenAI-compatible server that plays a script, one turn a request.

In a test:

    async with open_openai_server([Turn(text="Hello")]) as server:
        ...  # OPENAI_BASE_URL=server.base_url, OPENAI_API_KEY=server.api_key

As a process of its own, which prints its base URL as its first line:

    python tests/harness/openai_server.py SCRIPT.json [--port PORT] [--repeat]

where the script is a list of objects with the fields of `Turn`. Requests are checked as OpenAI
checks them: key, messages, and that every tool call is answered, once and by its id.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.http_server import Exchange, serving_http

API_KEY = "sk-test-0123456789abcdef"
_CREATED = 1_800_000_000
_FRAGMENT = 7
_OK = 200


@dataclass(frozen=True)
class Turn:
    """How one request is answered."""

    text: str = ""
    """What the model says; streamed in pieces of a few characters."""

    calls: Sequence[dict[str, Any]] = ()
    """Tool calls: `{"name": …, "arguments": object or raw text, "id": optional}`."""

    prompt_tokens: int = 100
    completion_tokens: int = 20
    cached_tokens: int = 0
    finish_reason: str | None = ""
    """Chosen by what the turn holds when empty; None leaves it out."""

    status: int = 200
    """Anything else answers with an error body in OpenAI's form."""

    error: dict[str, Any] = field(default_factory=dict)
    """Fields of that error, such as `code` and `type`; in a stream when the status is 200."""

    retry_after: str = ""
    """The header of that name."""

    location: str = ""
    """Likewise; for a status that sends clients elsewhere."""

    raw: Sequence[str] = ()
    """Garbage mode: these lines as events' data, instead of chunks."""

    hang_up: bool = False
    """The connection breaks behind the text."""

    hold: bool = False
    """Slow mode: silence behind the text, until the client leaves."""

    pause_s: float = 0.0
    """Silence before the text."""


class OpenAIServer:
    """Answers requests by the script and remembers them."""

    def __init__(self, script: Sequence[Turn], *, repeat: bool = False) -> None:
        self._script = list(script)
        self._repeat = repeat
        self.api_key = API_KEY
        """Empty for one that wants none, and takes none."""
        self.base_url = ""
        self.requests: list[dict[str, Any]] = []
        """Bodies of the requests, in order."""
        self.counted: dict[str, int] = {}
        """Tokens of each answer that was begun, by the caller's own id of the request."""
        self.holding = asyncio.Event()
        """A client is being kept waiting."""
        self.left = asyncio.Event()
        """A client that was kept waiting closed its connection."""
        self.connections: set[tuple[str, int]] = set()
        """Where requests came from."""

    async def handle(self, exchange: Exchange) -> None:
        """Answer one request."""
        request = exchange.request
        self.connections.add(exchange.client)
        if request.method == "GET" and request.path == "/v1/models":
            await exchange.answer(200, {"object": "list", "data": []})
            return
        if request.path != "/v1/chat/completions":
            await exchange.answer(404, _error("unknown path", "not_found"))
            return
        given = request.headers.get("authorization", "")
        if given != (f"Bearer {self.api_key}" if self.api_key else ""):
            message = f"Incorrect API key provided: {given}."
            await exchange.answer(401, _error(message, "invalid_api_key"))
            return
        body = request.json()
        self.requests.append(body)
        if problem := problem_with(body):
            await exchange.answer(400, _error(problem, None))
            return
        turn = self._next()
        call_id = request.headers.get("x-client-request-id", "")
        if call_id and turn.status == _OK:
            assert call_id not in self.counted, "every request has an id of its own"
            self.counted[call_id] = turn.prompt_tokens + turn.completion_tokens
        if turn.pause_s:
            await asyncio.sleep(turn.pause_s)
        await self._play(exchange, body, turn)

    def _next(self) -> Turn:
        at = len(self.requests) - 1
        if at >= len(self._script) and not self._repeat:
            return Turn(status=500, error={"message": "the script is over"})
        return self._script[at % len(self._script)]

    async def _play(self, exchange: Exchange, body: dict[str, Any], turn: Turn) -> None:
        if turn.status != _OK:
            named = {"retry_after": turn.retry_after, "location": turn.location}
            headers = {name: value for name, value in named.items() if value}
            await exchange.answer(turn.status, {"error": _error_fields(turn)}, **headers)
        elif not body.get("stream"):
            await exchange.answer(200, completion(body, turn))
        else:
            await self._stream(exchange, body, turn)

    async def _stream(self, exchange: Exchange, body: dict[str, Any], turn: Turn) -> None:
        for line in turn.raw or map(json.dumps, chunks(body, turn)):
            await exchange.event(line)
        if turn.hang_up:
            raise ConnectionError
        if turn.hold:
            self.holding.set()
            await exchange.until_the_client_leaves()
            self.left.set()
            raise ConnectionError
        if turn.error:
            await exchange.event(json.dumps({"error": _error_fields(turn)}))
        await exchange.event("[DONE]")
        await exchange.end()


@asynccontextmanager
async def open_openai_server(
    script: Sequence[Turn], *, repeat: bool = False, port: int = 0
) -> AsyncIterator[OpenAIServer]:
    """Serve the script on loopback while the block runs."""
    server = OpenAIServer(script, repeat=repeat)
    async with serving_http(server.handle, port) as address:
        server.base_url = f"{address}/v1"
        yield server


def chunks(body: dict[str, Any], turn: Turn) -> list[dict[str, Any]]:
    """Return the chunks of a streamed completion, as OpenAI cuts them."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": piece} for piece in _fragments(turn.text)]
    for index, call in enumerate(_tool_calls(turn)):
        arguments = call["function"].pop("arguments")
        deltas.append({"tool_calls": [{"index": index, **call}]})
        deltas[-1]["tool_calls"][0]["function"]["arguments"] = ""
        deltas += [
            {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}
            for piece in _fragments(arguments)
        ]
    found = [_chunk(body, [{"index": 0, "delta": d, "finish_reason": None}]) for d in deltas]
    reason = _finish_reason(turn)
    if reason and not (turn.hold or turn.hang_up or turn.error):
        found.append(_chunk(body, [{"index": 0, "delta": {}, "finish_reason": reason}]))
        if (body.get("stream_options") or {}).get("include_usage"):
            found.append({**_chunk(body, []), "usage": _usage(turn)})
    return found


def completion(body: dict[str, Any], turn: Turn) -> dict[str, Any]:
    """Return a whole completion."""
    message: dict[str, Any] = {"role": "assistant", "content": turn.text or None}
    if turn.calls:
        message["tool_calls"] = _tool_calls(turn)
    choice = {"index": 0, "message": message, "finish_reason": _finish_reason(turn)}
    return {
        **_chunk(body, [choice]),
        "object": "chat.completion",
        "usage": _usage(turn),
    }


def problem_with(body: dict[str, Any]) -> str:
    """Return what OpenAI would refuse about a request, or nothing."""
    messages = body.get("messages") or []
    if not body.get("model") or not messages:
        return "you must provide a model parameter and messages"
    open_calls: set[str] = set()
    for message in messages:
        if message["role"] == "tool":
            if message["tool_call_id"] not in open_calls:
                return "messages with role 'tool' must follow a message with 'tool_calls'"
            open_calls.remove(message["tool_call_id"])
            continue
        if open_calls:
            return f"tool_call_ids without a response: {sorted(open_calls)}"
        open_calls = {call["id"] for call in message.get("tool_calls") or []}
    names = [tool["function"]["name"] for tool in body.get("tools") or []]
    return "" if len(names) == len(set(names)) else "two tools have one name"


def _tool_calls(turn: Turn) -> list[dict[str, Any]]:
    return [
        {
            "id": call.get("id", f"call_{index}"),
            "type": "function",
            "function": {
                **({"name": call["name"]} if "name" in call else {}),
                "arguments": call["arguments"]
                if isinstance(call["arguments"], str)
                else json.dumps(call["arguments"]),
            },
        }
        for index, call in enumerate(turn.calls)
    ]


def _finish_reason(turn: Turn) -> str | None:
    return (
        ("tool_calls" if turn.calls else "stop") if turn.finish_reason == "" else turn.finish_reason
    )


def _chunk(body: dict[str, Any], choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": _CREATED,
        "model": body["model"],
        "system_fingerprint": "fp_test",
        "choices": choices,
        "usage": None,
    }


def _usage(turn: Turn) -> dict[str, Any]:
    return {
        "prompt_tokens": turn.prompt_tokens,
        "completion_tokens": turn.completion_tokens,
        "total_tokens": turn.prompt_tokens + turn.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": turn.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def _fragments(text: str) -> list[str]:
    return [text[at : at + _FRAGMENT] for at in range(0, len(text), _FRAGMENT)]


def _error_fields(turn: Turn) -> dict[str, Any]:
    return {**_error("the script says so", None)["error"], **turn.error}


def _error(message: str, code: str | None) -> dict[str, Any]:
    kind = "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


async def _serve(script: Sequence[Turn], port: int, *, repeat: bool) -> None:
    async with open_openai_server(script, repeat=repeat, port=port) as server:
        print(server.base_url, flush=True)  # noqa: T201 - the caller reads it
        await asyncio.Event().wait()


def main() -> None:
    """Serve a script from a file until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("script", type=Path, help="JSON list of turns")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--repeat", action="store_true", help="begin again when the script ends")
    given = parser.parse_args()
    script = [Turn(**turn) for turn in json.loads(given.script.read_text())]
    asyncio.run(_serve(script, given.port, repeat=given.repeat))


if __name__ == "__main__":
    main()
