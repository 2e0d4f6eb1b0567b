"""A receiver of webhooks that takes notices, fails, hangs or is not there, as a test says."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.http_server import Exchange, Request, serving_http

_PAGE = Path(__file__).parents[2] / "docs" / "webhooks.md"


@dataclass
class Receiver:
    """What came, and what is answered next."""

    came: list[Request] = field(default_factory=list)
    """Every request, taken or not."""

    taken: list[Request] = field(default_factory=list)
    mood: str = "takes"
    """`takes`, `fails`, `redirects` or `hangs`."""

    def ids(self) -> list[str]:
        """Return the ids of the notices that were taken, in their order."""
        return [request.headers["pentad-event-id"] for request in self.taken]

    async def handle(self, exchange: Exchange) -> None:
        """Answer one request."""
        self.came.append(exchange.request)
        match self.mood:
            case "takes":
                self.taken.append(exchange.request)
                await exchange.answer(200, {})
            case "redirects":
                await exchange.answer(302, {}, location="/elsewhere")
            case "fails":
                await exchange.answer(500, {})
            case _:
                await exchange.until_the_client_leaves()


@asynccontextmanager
async def receiving(receiver: Receiver, port: int) -> AsyncIterator[str]:
    """Receive at a port of loopback while the block runs."""
    async with serving_http(receiver.handle, port) as url:
        yield f"{url}/notices"


def verify_of_the_page() -> Callable[..., bool]:
    """Return the function that the page on webhooks tells its readers to use."""
    (sample,) = re.findall(r"```python\n(.*?)```", _PAGE.read_text("utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(sample, str(_PAGE), "exec"), names)  # noqa: S102 - it is our own page
    verify: Callable[..., bool] = names["verify"]
    return verify
