"""Jobs, on the wire."""

from pentad.state.v1 import job_service_pb2 as pb
from pentad.state.v1 import job_service_pb2_grpc as pb_grpc
from pentad_chassis.server import Context
from pentad_state.core import StateCore


class JobServicer(pb_grpc.JobServiceServicer):
    """Jobs."""

    def __init__(self, core: StateCore) -> None:
        self._jobs = core.jobs
        self._queues = core.job_queues

    async def PutJob(self, request: pb.PutJobRequest, context: Context) -> pb.PutJobResponse:
        recorded = await self._jobs.put(request.job, only_if_absent=request.only_if_absent)
        return pb.PutJobResponse(recorded=recorded)

    async def ClaimJobs(
        self, request: pb.ClaimJobsRequest, context: Context
    ) -> pb.ClaimJobsResponse:
        jobs = await self._queues.poll(
            request.queue,
            request.owner,
            request.lease,
            request.limit,
            request.wait.ToMilliseconds() / 1000,
        )
        return pb.ClaimJobsResponse(jobs=jobs)

    async def CompleteJob(
        self, request: pb.CompleteJobRequest, context: Context
    ) -> pb.CompleteJobResponse:
        await self._jobs.complete(request.place, request.job_id, request.fence)
        return pb.CompleteJobResponse()

    async def PostponeJob(
        self, request: pb.PostponeJobRequest, context: Context
    ) -> pb.PostponeJobResponse:
        await self._jobs.postpone(request.job, request.fence, afresh=request.afresh)
        return pb.PostponeJobResponse()

    async def DeleteJob(
        self, request: pb.DeleteJobRequest, context: Context
    ) -> pb.DeleteJobResponse:
        await self._jobs.delete(request.place, request.job_id)
        return pb.DeleteJobResponse()
