"""Conversations, on the wire."""

from pentad.state.v1 import session_service_pb2 as pb
from pentad.state.v1 import session_service_pb2_grpc as pb_grpc
from pentad.state.v1.session_pb2 import SessionMessage
from pentad_chassis.server import Context
from pentad_state.core import StateCore


class SessionServicer(pb_grpc.SessionServiceServicer):
    """Conversations."""

    def __init__(self, core: StateCore) -> None:
        self._sessions = core.sessions

    async def AppendMessages(
        self, request: pb.AppendMessagesRequest, context: Context
    ) -> pb.AppendMessagesResponse:
        messages = [SessionMessage(run_id=request.run_id, message=m) for m in request.messages]
        ttl = request.ttl if request.HasField("ttl") else None
        session = await self._sessions.append(
            request.tenant, request.session_id, request.append_id, messages, ttl
        )
        return pb.AppendMessagesResponse(session=session)

    async def GetSession(
        self, request: pb.GetSessionRequest, context: Context
    ) -> pb.GetSessionResponse:
        session = await self._sessions.get(request.tenant, request.session_id)
        return pb.GetSessionResponse(session=session)

    async def ListSessions(
        self, request: pb.ListSessionsRequest, context: Context
    ) -> pb.ListSessionsResponse:
        sessions, token = await self._sessions.list_sessions(
            request.tenant, request.page_size, request.page_token
        )
        return pb.ListSessionsResponse(sessions=sessions, next_page_token=token)

    async def ListMessages(
        self, request: pb.ListMessagesRequest, context: Context
    ) -> pb.ListMessagesResponse:
        messages, token = await self._sessions.list_messages(
            request.tenant, request.session_id, request.page_size, request.page_token
        )
        return pb.ListMessagesResponse(messages=messages, next_page_token=token)

    async def GetWindow(
        self, request: pb.GetWindowRequest, context: Context
    ) -> pb.GetWindowResponse:
        messages, last_seq = await self._sessions.window(
            request.tenant,
            request.session_id,
            request.last_seq,
            request.max_messages,
            request.max_tokens,
        )
        return pb.GetWindowResponse(messages=messages, last_seq=last_seq)

    async def DeleteSession(
        self, request: pb.DeleteSessionRequest, context: Context
    ) -> pb.DeleteSessionResponse:
        await self._sessions.delete(request.tenant, request.session_id)
        return pb.DeleteSessionResponse()
