"""Runs, their leases and their tails, on the wire."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from google.protobuf.duration_pb2 import Duration

from pentad.state.v1 import run_service_pb2 as pb
from pentad.state.v1 import run_service_pb2_grpc as pb_grpc
from pentad_chassis.server import Context
from pentad_state.appends import Beside
from pentad_state.core import StateCore
from pentad_state.partitions import run_id_for


class RunServicer(pb_grpc.RunServiceServicer):
    """Runs, their leases and their tails."""

    def __init__(self, core: StateCore) -> None:
        self._core = core

    async def CreateRun(
        self, request: pb.CreateRunRequest, context: Context
    ) -> pb.CreateRunResponse:
        claim = request.claim if request.HasField("claim") else None
        run, claimed, created = await self._core.runs.create(
            request.request_id,
            request.fingerprint,
            request.created,
            claim,
            request.begun,
            request.status,
        )
        return pb.CreateRunResponse(run=run, created=created, claimed=claimed)

    async def ForkRun(self, request: pb.ForkRunRequest, context: Context) -> pb.ForkRunResponse:
        run = await self._core.forks.fork_run(
            request.request_id, request.fingerprint, request.created, request.status
        )
        return pb.ForkRunResponse(run=run)

    async def GetRun(self, request: pb.GetRunRequest, context: Context) -> pb.GetRunResponse:
        run_id = request.run_id or run_id_for(request.tenant, request.request_id)
        run, fingerprint = await self._core.runs.get(request.tenant, run_id)
        return pb.GetRunResponse(run=run, fingerprint=fingerprint)

    async def ListRuns(self, request: pb.ListRunsRequest, context: Context) -> pb.ListRunsResponse:
        runs, token = await self._core.runs.list_runs(
            request.tenant,
            request.state,
            request.session_id,
            request.page_size,
            request.page_token,
        )
        return pb.ListRunsResponse(runs=runs, next_page_token=token)

    async def WaitRun(self, request: pb.WaitRunRequest, context: Context) -> pb.WaitRunResponse:
        run = await self._core.tails.wait(request.tenant, request.run_id, _seconds(request.timeout))
        return pb.WaitRunResponse(run=run)

    async def TailRun(
        self, request: pb.TailRunRequest, context: Context
    ) -> AsyncGenerator[pb.TailRunResponse, None]:
        tail = self._core.tails.tail(request.tenant, request.run_id, request.after)
        async with aclosing(tail) as batches:
            async for events in batches:
                yield pb.TailRunResponse(events=events)

    async def ListEvents(
        self, request: pb.ListEventsRequest, context: Context
    ) -> pb.ListEventsResponse:
        events = await self._core.runs.list_events(request.run_id, request.after_seq)
        return pb.ListEventsResponse(events=events)

    async def ClaimRuns(
        self, request: pb.ClaimRunsRequest, context: Context
    ) -> pb.ClaimRunsResponse:
        runs, asked = await self._core.schedule.poll(
            request.claim, request.limit, _seconds(request.wait)
        )
        return pb.ClaimRunsResponse(
            runs=runs, cancels=asked.cancels, pauses=asked.pauses, signals=asked.signals
        )

    async def RenewLeases(
        self, request: pb.RenewLeasesRequest, context: Context
    ) -> pb.RenewLeasesResponse:
        renewed = await self._core.leases.renew(request.claim, request.leases)
        return pb.RenewLeasesResponse(
            lost_run_ids=renewed.lost,
            cancels=renewed.asked.cancels,
            pauses=renewed.asked.pauses,
            unreached_run_ids=renewed.unreached,
            signals=renewed.asked.signals,
        )

    async def ReleaseRuns(
        self, request: pb.ReleaseRunsRequest, context: Context
    ) -> pb.ReleaseRunsResponse:
        await self._core.leases.release(request.leases)
        return pb.ReleaseRunsResponse()

    async def AppendEvents(
        self, request: pb.AppendEventsRequest, context: Context
    ) -> pb.AppendEventsResponse:
        events = await self._core.appends.append(
            request.lease,
            request.expected_seq,
            request.append_id,
            request.events,
            request.status,
            Beside(request.heard_signals, request.approvals, request.jobs),
        )
        return pb.AppendEventsResponse(events=events)

    async def AppendText(
        self, request: pb.AppendTextRequest, context: Context
    ) -> pb.AppendTextResponse:
        await self._core.texts.append(request.pieces)
        return pb.AppendTextResponse()

    async def RequestPause(
        self, request: pb.RequestPauseRequest, context: Context
    ) -> pb.RequestPauseResponse:
        run = await self._core.wishes.request_pause(request.tenant, request.run_id, request.reason)
        return pb.RequestPauseResponse(run=run)

    async def ResumeRun(
        self, request: pb.ResumeRunRequest, context: Context
    ) -> pb.ResumeRunResponse:
        run = await self._core.wishes.resume(
            request.tenant, request.run_id, request.resume_id, request.resumed
        )
        return pb.ResumeRunResponse(run=run)

    async def SignalRun(
        self, request: pb.SignalRunRequest, context: Context
    ) -> pb.SignalRunResponse:
        ended = await self._core.wishes.signal(
            request.tenant, request.run_id, request.signal_id, request.event
        )
        return pb.SignalRunResponse(ended=ended)

    async def RequestCancel(
        self, request: pb.RequestCancelRequest, context: Context
    ) -> pb.RequestCancelResponse:
        run = await self._core.wishes.request_cancel(request.tenant, request.run_id, request.reason)
        return pb.RequestCancelResponse(run=run)


def _seconds(duration: Duration) -> float:
    return duration.ToMilliseconds() / 1000
