"""Leaving sessions: what a run does that ended without an answer, carried over by a job of its."""

from typing import TYPE_CHECKING

from pentad.state.v1.job_service_pb2 import ClaimedJob
from pentad.state.v1.session_service_pb2 import LeaveSessionRequest

if TYPE_CHECKING:
    from pentad.state.v1.session_service_pb2_grpc import SessionServiceAsyncStub


class Departures:
    """Jobs that let the next run into a session; done twice, one lets in nobody more."""

    def __init__(self, sessions: "SessionServiceAsyncStub") -> None:
        self._sessions = sessions

    async def leave(self, claimed: ClaimedJob) -> None:
        """Take a run out of its session, or out of the line."""
        left = claimed.job.leave_session
        await self._sessions.LeaveSession(
            LeaveSessionRequest(
                tenant=claimed.job.tenant, session_id=left.session_id, run_id=left.run_id
            )
        )
