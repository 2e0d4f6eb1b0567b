"""HTTP GET to hosts that the operator allows."""

import codecs
import ssl
from functools import cache
from typing import Annotated

import httpx
from pydantic import BaseModel, Field

from pentad_tools.builtin.hosts import HostRefused, permitted_address
from pentad_tools.tool import ArgumentInvalid, Effect, ToolContext, ToolFailed, tool

BODY_BYTES_MAX = 32 * 1024
"""What a model can read; escaped in JSON it may become six times as much."""

_REDIRECTS_MAX = 5
_TIMEOUT = httpx.Timeout(10.0)
_TEXTUAL = ("json", "xml", "javascript", "x-www-form-urlencoded")


class HttpResponse(BaseModel):
    """What `http_get` returns."""

    status: int
    url: str
    """Where redirects led."""

    content_type: str
    body: str
    truncated: bool


@tool(effect=Effect.PURE, timeout_s=20)
async def http_get(
    url: Annotated[str, Field(max_length=2000, description="An http or https URL")],
    context: ToolContext,
) -> HttpResponse:
    """Fetch a text, JSON or XML document by HTTP from one of the allowed hosts."""
    async with httpx.AsyncClient(verify=_trust(), trust_env=False, timeout=_TIMEOUT) as client:
        target = _parse(url)
        for _ in range(_REDIRECTS_MAX + 1):
            try:
                fetched = await _fetch(client, target, context.http_allow)
            except httpx.HTTPError as failed:
                raise ToolFailed(f"{target.host}: {_why(failed)}") from None
            if isinstance(fetched, HttpResponse):
                return fetched
            target = fetched
    raise ToolFailed(f"more than {_REDIRECTS_MAX} redirects")


async def _fetch(
    client: httpx.AsyncClient, url: httpx.URL, allow: tuple[str, ...]
) -> HttpResponse | httpx.URL:
    """Return the document, or where the host sends us."""
    host = url.raw_host.decode("ascii")  # as it is on the wire, whatever alphabet it is shown in
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        address = await permitted_address(allow, url.scheme, host, port)
    except HostRefused as refused:
        raise ArgumentInvalid("url", str(refused)) from None
    request = client.build_request(
        "GET",
        url.copy_with(host=address),
        headers={
            "host": url.netloc.decode(),
            "accept-encoding": "identity",  # a small compressed body can be a huge one
            "user-agent": "pentad",
        },
        extensions={"sni_hostname": host},
    )
    response = await client.send(request, stream=True)
    try:
        if response.has_redirect_location:
            return _parse(response.headers["location"], url)
        return await _read(response, url)
    finally:
        await response.aclose()


async def _read(response: httpx.Response, url: httpx.URL) -> HttpResponse:
    kind = response.headers.get("content-type", "text/plain").lower()
    media = kind.partition(";")[0].strip()
    if not (media.startswith("text/") or media.endswith(_TEXTUAL)):
        raise ToolFailed(f"{url.host} sent {media}, which is not text")
    if response.headers.get("content-encoding", "identity") != "identity":
        raise ToolFailed(f"{url.host} sent a compressed body, though asked not to")
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            break
    text = bytes(body[:BODY_BYTES_MAX]).decode(_encoding(response), errors="replace")
    return HttpResponse(
        status=response.status_code,
        url=str(url),
        content_type=media,
        body=text,
        truncated=len(body) > BODY_BYTES_MAX,
    )


def _parse(url: str, base: httpx.URL | None = None) -> httpx.URL:
    try:
        parsed = base.join(url) if base else httpx.URL(url)
    except (httpx.InvalidURL, UnicodeError):
        raise ArgumentInvalid("url", "is not a URL") from None
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise ArgumentInvalid("url", "must be an http or https URL with a host")
    if parsed.userinfo:
        raise ArgumentInvalid("url", "must not hold a user name or password")
    return parsed


@cache
def _trust() -> ssl.SSLContext:
    """Return the public certificate authorities; read once, for it takes some 20 ms."""
    return httpx.create_ssl_context(trust_env=False)


def _encoding(response: httpx.Response) -> str:
    try:
        return codecs.lookup(response.charset_encoding or "utf-8").name
    except LookupError:
        return "utf-8"


def _why(failed: httpx.HTTPError) -> str:
    match failed:
        case httpx.TimeoutException():
            return "it did not answer in time"
        case httpx.ConnectError():
            return "no connection"
    return "the exchange failed"
