"""Requests about webhooks."""

import re
from urllib.parse import urlsplit

from pentad.gateway.v1.webhook_service_pb2 import (
    CreateWebhookRequest,
    DeleteWebhookRequest,
    GetWebhookRequest,
    ListDeadLettersRequest,
    ListWebhooksRequest,
    RedeliverDeadLetterRequest,
)
from pentad.state.v1.webhook_pb2 import Webhook
from pentad_chassis.errors import FieldViolation
from pentad_gateway.validation.bounds import WEBHOOK_NAME, Bounds

URL_CHARACTERS = 2000
LETTER_ID_BYTES = 256
NOTICES = 2

_SECRET = r"[!-~]{16,128}"  # noqa: S105 - what secrets look like
_VISIBLE = re.compile(r"[!-~]+")


def create_webhook(request: CreateWebhookRequest) -> list[FieldViolation]:
    """Return what is wrong with the request, whatever its address is."""
    bounds = Bounds()
    if not request.HasField("webhook"):
        bounds.broken("webhook", "must be set")
        return bounds.violations
    webhook = request.webhook
    bounds.name("webhook.name", webhook.name, WEBHOOK_NAME)
    _url(bounds, "webhook.url", webhook.url)
    bounds.count("webhook.notices", len(webhook.notices), NOTICES)
    known = {Webhook.NOTICE_WAITING, Webhook.NOTICE_TERMINAL}
    for i, notice in enumerate(webhook.notices[:NOTICES]):
        if notice not in known:
            bounds.broken(f"webhook.notices[{i}]", "must be NOTICE_WAITING or NOTICE_TERMINAL")
    if request.secret:
        bounds.name("secret", request.secret, _SECRET)
    bounds.request_id(request.request_id)
    return bounds.violations


def name_webhook(request: GetWebhookRequest | DeleteWebhookRequest) -> list[FieldViolation]:
    """Return what is wrong with the request."""
    bounds = Bounds()
    bounds.name("name", request.name, WEBHOOK_NAME)
    return bounds.violations


def list_webhooks(request: ListWebhooksRequest) -> list[FieldViolation]:
    """Return what is wrong with the request."""
    bounds = Bounds()
    bounds.page(request)
    return bounds.violations


def list_dead_letters(request: ListDeadLettersRequest) -> list[FieldViolation]:
    """Return what is wrong with the request."""
    bounds = Bounds()
    if request.webhook:
        bounds.name("webhook", request.webhook, WEBHOOK_NAME)
    bounds.page(request)
    return bounds.violations


def redeliver_dead_letter(request: RedeliverDeadLetterRequest) -> list[FieldViolation]:
    """Return what is wrong with the request."""
    bounds = Bounds()
    bounds.filled("dead_letter_id", request.dead_letter_id, LETTER_ID_BYTES)
    return bounds.violations


def _url(bounds: Bounds, field: str, url: str) -> None:
    if len(url) > URL_CHARACTERS:
        bounds.broken(field, f"must be at most {URL_CHARACTERS} characters")
        return
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        bounds.broken(field, "must be a URL")
        return
    if parts.scheme not in {"http", "https"} or not host or port == 0:
        bounds.broken(field, "must be an http or https URL with a host")
    elif not _VISIBLE.fullmatch(url) or "\\" in url:
        bounds.broken(field, "must be percent-encoded ASCII, its host in Punycode")
    elif "@" in parts.netloc:
        bounds.broken(field, "must not hold a user name or password")
    elif parts.fragment:
        bounds.broken(field, "must not hold a fragment")
