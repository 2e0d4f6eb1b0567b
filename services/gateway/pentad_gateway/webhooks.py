"""Webhooks of the caller's tenant; the same rules as in `core`."""

import secrets
from typing import TYPE_CHECKING

from pentad.gateway.v1 import webhook_service_pb2 as pb
from pentad.state.v1.entry_service_pb2 import (
    DeleteEntryRequest,
    Entry,
    GetEntryRequest,
    ListEntriesRequest,
    PutEntryRequest,
)
from pentad.state.v1.job_pb2 import DeliverWebhook, Job, Queue
from pentad.state.v1.job_service_pb2 import PutJobRequest
from pentad.state.v1.run_service_pb2 import GetRunRequest
from pentad.state.v1.webhook_pb2 import DeadLetter, Webhook, WebhookRecord
from pentad.tools.v1.webhook_service_pb2 import CheckWebhookRequest
from pentad_chassis import scopes
from pentad_chassis.clock import random_id
from pentad_chassis.errors import NotFound, ServiceError
from pentad_gateway import validation
from pentad_gateway.errors import (
    DeadLetterNotFound,
    WebhookAlreadyExists,
    WebhookNotFound,
    require,
)

if TYPE_CHECKING:
    from pentad.state.v1.entry_service_pb2_grpc import EntryServiceAsyncStub
    from pentad.state.v1.job_service_pb2_grpc import JobServiceAsyncStub
    from pentad.state.v1.run_service_pb2_grpc import RunServiceAsyncStub
    from pentad.tools.v1.webhook_service_pb2_grpc import WebhookServiceAsyncStub

_SECRET_PREFIX = "whsec_"  # noqa: S105 - the beginning of all secrets is none


class WebhookCore:
    """Kept as entries of the state service; tool-runners post to them."""

    def __init__(
        self,
        entries: "EntryServiceAsyncStub",
        jobs: "JobServiceAsyncStub",
        runs: "RunServiceAsyncStub",
        tools: "WebhookServiceAsyncStub",
    ) -> None:
        self._entries = entries
        self._jobs = jobs
        self._runs = runs
        self._tools = tools

    async def create_webhook(self, tenant: str, request: pb.CreateWebhookRequest) -> WebhookRecord:
        """Record a webhook; a repeat of the same request finds the first one."""
        require(validation.create_webhook(request))
        await self._tools.CheckWebhook(CheckWebhookRequest(url=request.webhook.url))
        record = WebhookRecord(
            webhook=request.webhook,
            secret=request.secret or _SECRET_PREFIX + secrets.token_urlsafe(32),
            request_id=request.request_id or random_id(),
        )
        record.webhook.ClearField("create_time")
        put = PutEntryRequest(
            scope=scopes.webhooks(tenant),
            key=record.webhook.name,
            value=record.SerializeToString(),
            expected_version=0,
        )
        try:
            stored = await self._entries.PutEntry(put)
        except ServiceError as error:
            if error.reason != "VERSION_MISMATCH":
                raise
            known = await self._find(tenant, record.webhook.name)
            if known.request_id != record.request_id:
                raise WebhookAlreadyExists(record.webhook.name) from None
            return known
        record.webhook.create_time.CopyFrom(stored.entry.create_time)
        return record

    async def get_webhook(self, tenant: str, request: pb.GetWebhookRequest) -> Webhook:
        """Return a webhook."""
        require(validation.name_webhook(request))
        return (await self._find(tenant, request.name)).webhook

    async def list_webhooks(
        self, tenant: str, request: pb.ListWebhooksRequest
    ) -> pb.ListWebhooksResponse:
        """Return a page of webhooks."""
        require(validation.list_webhooks(request))
        page = await self._entries.ListEntries(
            ListEntriesRequest(
                scope=scopes.webhooks(tenant),
                page_size=request.page_size,
                page_token=request.page_token,
            )
        )
        return pb.ListWebhooksResponse(
            webhooks=[_to_record(entry).webhook for entry in page.entries],
            next_page_token=page.next_page_token,
        )

    async def delete_webhook(self, tenant: str, request: pb.DeleteWebhookRequest) -> None:
        """Forget a webhook; its jobs end when they next find it gone."""
        require(validation.name_webhook(request))
        await self._entries.DeleteEntry(
            DeleteEntryRequest(scope=scopes.webhooks(tenant), key=request.name)
        )

    async def list_dead_letters(
        self, tenant: str, request: pb.ListDeadLettersRequest
    ) -> pb.ListDeadLettersResponse:
        """Return a page of notices that were given up."""
        require(validation.list_dead_letters(request))
        page = await self._entries.ListEntries(
            ListEntriesRequest(
                scope=scopes.dead_letters(tenant),
                key_prefix=f"{request.webhook}/" if request.webhook else "",
                page_size=request.page_size,
                page_token=request.page_token,
            )
        )
        return pb.ListDeadLettersResponse(
            dead_letters=map(_to_letter, page.entries), next_page_token=page.next_page_token
        )

    async def redeliver_dead_letter(
        self, tenant: str, request: pb.RedeliverDeadLetterRequest
    ) -> None:
        """Put a job for one notice; while it is there already, it is due at once."""
        require(validation.redeliver_dead_letter(request))
        found = GetEntryRequest(scope=scopes.dead_letters(tenant), key=request.dead_letter_id)
        try:
            letter = _to_letter((await self._entries.GetEntry(found)).entry)
        except NotFound:
            raise DeadLetterNotFound(request.dead_letter_id) from None
        await self._find(tenant, letter.webhook)
        await self._runs.GetRun(GetRunRequest(tenant=tenant, run_id=letter.run_id))
        job = Job(
            job_id=f"redeliver/{letter.dead_letter_id}",
            tenant=tenant,
            place=letter.run_id,
            queue=Queue.QUEUE_WEBHOOKS,
            nudge=True,
            deliver_webhook=DeliverWebhook(
                run_id=letter.run_id, webhook=letter.webhook, only_seq=letter.seq
            ),
        )
        await self._jobs.PutJob(PutJobRequest(job=job))

    async def _find(self, tenant: str, name: str) -> WebhookRecord:
        request = GetEntryRequest(scope=scopes.webhooks(tenant), key=name)
        try:
            found = await self._entries.GetEntry(request)
        except NotFound:
            raise WebhookNotFound(name) from None
        return _to_record(found.entry)


def _to_record(entry: Entry) -> WebhookRecord:
    record = WebhookRecord.FromString(entry.value)
    record.webhook.create_time.CopyFrom(entry.create_time)
    return record


def _to_letter(entry: Entry) -> DeadLetter:
    letter = DeadLetter.FromString(entry.value)
    letter.create_time.CopyFrom(entry.create_time)
    letter.expire_time.CopyFrom(entry.expire_time)
    return letter
