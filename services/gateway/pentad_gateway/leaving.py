"""Runs that are to end with the stream their caller has left."""

import asyncio
from typing import TYPE_CHECKING

from structlog.typing import FilteringBoundLogger

from pentad.orchestrator.v1.orchestrator_service_pb2 import CancelRunRequest, CreateRunRequest
from pentad_chassis import calls
from pentad_chassis.errors import ServiceError

if TYPE_CHECKING:
    from pentad.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceAsyncStub

REASON = "the caller left"

_TIMEOUT_S = 5.0


class Abandoned:
    """Ends runs for callers that cannot ask for it any more."""

    def __init__(
        self, orchestrator: "OrchestratorServiceAsyncStub", log: FilteringBoundLogger
    ) -> None:
        self._orchestrator = orchestrator
        self._log = log
        self._ending: set[asyncio.Task[None]] = set()

    async def end(self, wish: CreateRunRequest) -> None:
        """Have the run of a request cancelled, or say in the log that it goes on."""
        task = asyncio.create_task(self._end(wish))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        # The call being served is over, and may be cancelled once more by a stop.
        await asyncio.shield(task)

    async def _end(self, wish: CreateRunRequest) -> None:
        calls.begin(None)
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                # The caller may have left while the run was being accepted: asked again, its
                # acceptance has come to an end, one way or the other.
                run = (await self._orchestrator.CreateRun(wish)).run
                if not run.HasField("end_time"):
                    await self._orchestrator.CancelRun(
                        CancelRunRequest(tenant=wish.tenant, run_id=run.run_id, reason=REASON)
                    )
        except (ServiceError, TimeoutError) as error:
            self._log.warning(
                "a run may go on without its caller", reason=getattr(error, "reason", "TIMEOUT")
            )
