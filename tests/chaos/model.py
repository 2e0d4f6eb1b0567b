"""A language model as its provider serves it: asks for two calls at once, then talks for a while.

It never says the same twice, so that text of two attempts at a turn cannot pass for one.
"""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from harness.http_server import Exchange, serving_http
from harness.openai_server import Turn, chunks, problem_with

API_KEY = "sk-chaos"
_PAUSE_S = 0.02
_WORDS = 120


@asynccontextmanager
async def serving_model() -> AsyncIterator[str]:
    """Serve it while the block runs; yields its base URL."""
    async with serving_http(_answer) as address:
        yield f"{address}/v1"


async def _answer(exchange: Exchange) -> None:
    body = exchange.request.json()
    if problem := problem_with(body):
        await exchange.answer(400, {"error": {"message": problem}})
        return
    for chunk in chunks(body, _turn(body["messages"])):
        await exchange.event(json.dumps(chunk))
        await asyncio.sleep(_PAUSE_S)
    await exchange.event("[DONE]")
    await exchange.end()


def _turn(messages: list[dict[str, Any]]) -> Turn:
    asked = max(i for i, message in enumerate(messages) if message["role"] == "user")
    if any(message["role"] == "tool" for message in messages[asked:]):
        return Turn(text=" ".join(f"{random.getrandbits(20):x}" for _ in range(_WORDS)))
    ms = messages[asked]["content"].rpartition(" ")[2]
    names = ("pay", "ship")
    return Turn(calls=[{"name": n, "arguments": {"ms": ms}, "id": f"{n}_1"} for n in names])
