"""Webhooks, on the wire."""

from pentad.gateway.v1 import webhook_service_pb2 as pb
from pentad.gateway.v1 import webhook_service_pb2_grpc as pb_grpc
from pentad_chassis.server import Context, caller
from pentad_gateway.webhooks import WebhookCore


class WebhookServicer(pb_grpc.WebhookServiceServicer):
    """WebhookService over its core."""

    def __init__(self, core: WebhookCore) -> None:
        self._core = core

    async def CreateWebhook(
        self, request: pb.CreateWebhookRequest, context: Context
    ) -> pb.CreateWebhookResponse:
        record = await self._core.create_webhook(caller().tenant, request)
        return pb.CreateWebhookResponse(webhook=record.webhook, secret=record.secret)

    async def GetWebhook(
        self, request: pb.GetWebhookRequest, context: Context
    ) -> pb.GetWebhookResponse:
        webhook = await self._core.get_webhook(caller().tenant, request)
        return pb.GetWebhookResponse(webhook=webhook)

    async def ListWebhooks(
        self, request: pb.ListWebhooksRequest, context: Context
    ) -> pb.ListWebhooksResponse:
        return await self._core.list_webhooks(caller().tenant, request)

    async def DeleteWebhook(
        self, request: pb.DeleteWebhookRequest, context: Context
    ) -> pb.DeleteWebhookResponse:
        await self._core.delete_webhook(caller().tenant, request)
        return pb.DeleteWebhookResponse()

    async def ListDeadLetters(
        self, request: pb.ListDeadLettersRequest, context: Context
    ) -> pb.ListDeadLettersResponse:
        return await self._core.list_dead_letters(caller().tenant, request)

    async def RedeliverDeadLetter(
        self, request: pb.RedeliverDeadLetterRequest, context: Context
    ) -> pb.RedeliverDeadLetterResponse:
        await self._core.redeliver_dead_letter(caller().tenant, request)
        return pb.RedeliverDeadLetterResponse()
