"""Posting a notice: to an address that was looked up once, signed, without following anybody."""

import asyncio
import hashlib
import hmac
import ipaddress
import ssl
from functools import cache
from urllib.parse import SplitResult, urlsplit

import httpx

from pentad_chassis.clock import Clock
from pentad_tools.builtin.hosts import HostRefused, permitted_address
from pentad_tools.errors import WebhookAddressRefused
from pentad_tools.webhooks.notices import Notice

POST_S = 10.0
"""An attempt takes no longer."""

_OK = range(200, 300)
_PORTS = {"http": 80, "https": 443}


class NotDelivered(Exception):
    """The receiver did not take the notice; the message says why, to whoever owns the webhook."""


class Poster:
    """Posts to the hosts that the operator allows."""

    def __init__(self, allow: tuple[str, ...], clock: Clock) -> None:
        self._allow = allow
        self._clock = clock

    async def check(self, url: str) -> None:
        """Refuse an address that is none of a name and not to be reached."""
        parts = urlsplit(url)
        try:
            ipaddress.ip_address(parts.hostname or "")
        except ValueError:
            return  # a name, which is looked up when there is something to deliver
        try:
            await self._address(parts)
        except HostRefused:
            raise WebhookAddressRefused(parts.hostname or "") from None

    async def post(self, url: str, secret: str, notice: Notice) -> None:
        """Return once the receiver has taken the notice, or raise NotDelivered."""
        try:
            async with asyncio.timeout(POST_S):
                status = await self._status(url, secret, notice)
        except TimeoutError:
            raise NotDelivered(f"no answer within {POST_S:g} s") from None
        except HostRefused:
            raise NotDelivered("its address is not one that may be reached") from None
        except httpx.HTTPError as failed:
            raise NotDelivered(_why(failed)) from None
        except (httpx.InvalidURL, ValueError):
            raise NotDelivered("its URL is none that can be reached") from None
        if status not in _OK:
            raise NotDelivered(f"answered {status}")

    async def _status(self, url: str, secret: str, notice: Notice) -> int:
        parts = urlsplit(url)
        address = await self._address(parts)
        headers = {
            "host": parts.netloc,
            "content-type": "application/json",
            "user-agent": "pentad",
            "pentad-event-id": notice.notice_id,
            "pentad-signature": signature(secret, notice.body, int(self._clock.now())),
        }
        async with httpx.AsyncClient(verify=_trust(), trust_env=False, timeout=POST_S) as client:
            request = client.build_request(
                "POST",
                httpx.URL(url).copy_with(host=address),
                content=notice.body,
                headers=headers,
                extensions={"sni_hostname": parts.hostname},
            )
            # The status is all that matters: nothing of the body is read, however long it is.
            response = await client.send(request, stream=True, follow_redirects=False)
            await response.aclose()
            return response.status_code

    async def _address(self, parts: SplitResult) -> str:
        port = parts.port or _PORTS[parts.scheme]
        return await permitted_address(self._allow, parts.scheme, parts.hostname or "", port)


def signature(secret: str, body: bytes, time_s: int) -> str:
    """Return what proves who sent the body, and when."""
    digest = hmac.new(secret.encode(), f"{time_s}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={time_s},v1={digest}"


@cache
def _trust() -> ssl.SSLContext:
    """Return the public certificate authorities; read once, for it takes some 20 ms."""
    return httpx.create_ssl_context(trust_env=False)


def _why(failed: httpx.HTTPError) -> str:
    match failed:
        case httpx.TimeoutException():
            return f"no answer within {POST_S:g} s"
        case httpx.ConnectError():
            return "no connection"
    return "the exchange failed"
