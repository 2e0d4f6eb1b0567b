"""Conversations, on the wire."""

from pentad.gateway.v1 import session_service_pb2 as pb
from pentad.gateway.v1 import session_service_pb2_grpc as pb_grpc
from pentad_chassis.server import Context, caller
from pentad_gateway.core import SessionCore


class SessionServicer(pb_grpc.SessionServiceServicer):
    """SessionService over its core."""

    def __init__(self, core: SessionCore) -> None:
        self._core = core

    async def GetSession(
        self, request: pb.GetSessionRequest, context: Context
    ) -> pb.GetSessionResponse:
        session = await self._core.get_session(caller().tenant, request)
        return pb.GetSessionResponse(session=session)

    async def ListSessions(
        self, request: pb.ListSessionsRequest, context: Context
    ) -> pb.ListSessionsResponse:
        page = await self._core.list_sessions(caller().tenant, request)
        return pb.ListSessionsResponse(sessions=page.sessions, next_page_token=page.next_page_token)

    async def ListMessages(
        self, request: pb.ListMessagesRequest, context: Context
    ) -> pb.ListMessagesResponse:
        page = await self._core.list_messages(caller().tenant, request)
        return pb.ListMessagesResponse(messages=page.messages, next_page_token=page.next_page_token)

    async def ForkSession(
        self, request: pb.ForkSessionRequest, context: Context
    ) -> pb.ForkSessionResponse:
        session = await self._core.fork_session(caller().tenant, request)
        return pb.ForkSessionResponse(session=session)

    async def DeleteSession(
        self, request: pb.DeleteSessionRequest, context: Context
    ) -> pb.DeleteSessionResponse:
        await self._core.delete_session(caller().tenant, request)
        return pb.DeleteSessionResponse()
