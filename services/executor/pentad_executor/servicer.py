"""The wire's side of the executor: translation, and nothing else."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from pentad.executor.v1.executor_service_pb2 import ExecuteTurnRequest, ExecuteTurnResponse
from pentad.executor.v1.executor_service_pb2_grpc import ExecutorServiceServicer
from pentad_chassis.server import Context
from pentad_executor.core import ExecutorCore


class ExecutorServicer(ExecutorServiceServicer):
    """Serves the executor's contract."""

    def __init__(self, core: ExecutorCore) -> None:
        self._core = core

    async def ExecuteTurn(
        self, request: ExecuteTurnRequest, context: Context
    ) -> AsyncGenerator[ExecuteTurnResponse, None]:
        """Stream a turn; leaving the stream ends it."""
        async with aclosing(self._core.execute_turn(request)) as responses:
            async for response in responses:
                yield response
