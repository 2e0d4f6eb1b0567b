"""A real executor over a unix socket, as its callers see it."""

import io
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pentad.executor.v1.executor_service_pb2 import ExecuteTurnRequest, TurnResult
from pentad.executor.v1.executor_service_pb2_grpc import ExecutorServiceStub
from pentad_chassis.channel import open_channel, reading
from pentad_chassis.telemetry import Telemetry, open_telemetry, silent_telemetry
from pentad_executor.app import open_app
from pentad_executor.config import Config

if TYPE_CHECKING:
    from pentad.executor.v1.executor_service_pb2_grpc import ExecutorServiceAsyncStub

TIMEOUT_S = 10.0


@dataclass
class Executor:
    """The executor under test."""

    stub: "ExecutorServiceAsyncStub"
    telemetry: Telemetry
    log: io.StringIO

    async def turn(self, request: ExecuteTurnRequest) -> tuple[list[str], TurnResult]:
        """Take a turn; return the pieces of text, and the turn as a whole."""
        async with reading(self.stub.ExecuteTurn(request, timeout=TIMEOUT_S)) as responses:
            *pieces, last = [response async for response in responses]
        assert [piece.WhichOneof("kind") for piece in pieces] == ["text_delta"] * len(pieces)
        assert last.WhichOneof("kind") == "result"
        return [piece.text_delta for piece in pieces], last.result


OpenExecutor = Callable[..., AbstractAsyncContextManager[Executor]]


@pytest.fixture(autouse=True)
def no_keys_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for provider in ("OPENAI", "ANTHROPIC"):
        for name in (f"{provider}_API_KEY", f"{provider}_BASE_URL"):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(f"PENTAD_EXECUTOR_{name}", raising=False)


@pytest.fixture
def open_executor(tmp_path: Path) -> OpenExecutor:
    """Open an executor with the given settings."""

    @asynccontextmanager
    async def opened(**settings: Any) -> AsyncIterator[Executor]:
        config = Config(
            address=f"unix:{tmp_path}/executor", state_address=f"unix:{tmp_path}/state", **settings
        )
        log = io.StringIO()
        telemetry = open_telemetry("executor", "debug", log)
        client = silent_telemetry("client")
        async with (
            open_app(config, telemetry),
            open_channel("executor", config.address, config, client) as channel,
        ):
            yield Executor(ExecutorServiceStub(channel), telemetry, log)

    return opened
