"""Runs, on the wire."""

from collections.abc import AsyncIterator
from contextlib import aclosing

from pentad.gateway.v1 import run_service_pb2 as pb
from pentad.gateway.v1 import run_service_pb2_grpc as pb_grpc
from pentad_chassis.server import Context, caller
from pentad_gateway.runs import RunCore


class RunServicer(pb_grpc.RunServiceServicer):
    """RunService over its core."""

    def __init__(self, core: RunCore) -> None:
        self._core = core

    async def CreateRun(
        self, request: pb.CreateRunRequest, context: Context
    ) -> pb.CreateRunResponse:
        run = await self._core.create_run(caller().tenant, request)
        return pb.CreateRunResponse(run=run)

    async def ExecuteRun(
        self, request: pb.ExecuteRunRequest, context: Context
    ) -> AsyncIterator[pb.ExecuteRunResponse]:
        async with aclosing(self._core.execute_run(caller().tenant, request)) as batches:
            async for events in batches:
                yield pb.ExecuteRunResponse(events=events)

    async def TailRun(
        self, request: pb.TailRunRequest, context: Context
    ) -> AsyncIterator[pb.TailRunResponse]:
        async with aclosing(self._core.tail_run(caller().tenant, request)) as batches:
            async for events in batches:
                yield pb.TailRunResponse(events=events)

    async def WaitRun(self, request: pb.WaitRunRequest, context: Context) -> pb.WaitRunResponse:
        run = await self._core.wait_run(caller().tenant, request)
        return pb.WaitRunResponse(run=run)

    async def GetRun(self, request: pb.GetRunRequest, context: Context) -> pb.GetRunResponse:
        run = await self._core.get_run(caller().tenant, request)
        return pb.GetRunResponse(run=run)

    async def ListRuns(self, request: pb.ListRunsRequest, context: Context) -> pb.ListRunsResponse:
        page = await self._core.list_runs(caller().tenant, request)
        return pb.ListRunsResponse(runs=page.runs, next_page_token=page.next_page_token)

    async def PauseRun(self, request: pb.PauseRunRequest, context: Context) -> pb.PauseRunResponse:
        run = await self._core.pause_run(caller().tenant, request)
        return pb.PauseRunResponse(run=run)

    async def ResumeRun(
        self, request: pb.ResumeRunRequest, context: Context
    ) -> pb.ResumeRunResponse:
        run = await self._core.resume_run(caller().tenant, request)
        return pb.ResumeRunResponse(run=run)

    async def ForkRun(self, request: pb.ForkRunRequest, context: Context) -> pb.ForkRunResponse:
        run = await self._core.fork_run(caller().tenant, request)
        return pb.ForkRunResponse(run=run)

    async def CancelRun(
        self, request: pb.CancelRunRequest, context: Context
    ) -> pb.CancelRunResponse:
        run = await self._core.cancel_run(caller().tenant, request)
        return pb.CancelRunResponse(run=run)
