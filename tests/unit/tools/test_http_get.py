"""`http_get` against a real server on loopback."""

import asyncio
import ipaddress
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from pentad_tools.builtin import http_get as module
from pentad_tools.builtin.hosts import is_public
from pentad_tools.builtin.http_get import http_get
from pentad_tools.config import Config
from pentad_tools.tool import ArgumentInvalid, ToolContext, ToolFailed


@dataclass
class Site:
    """Answers each path with the bytes given for it; None never answers."""

    pages: dict[str, bytes | None] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    port: int = 0

    def page(self, path: str, body: bytes, *headers: str, status: str = "200 OK") -> None:
        lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers, "", ""]
        self.pages[path] = "\r\n".join(lines).encode() + body

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.requests.append(request)
        page = self.pages[request.split(" ")[1]]
        if page is None:
            await reader.read()  # until the client leaves
        else:
            writer.write(page)
            await writer.drain()
        writer.close()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    server = await asyncio.start_server(site.answer, "127.0.0.1", 0)
    site.port = server.sockets[0].getsockname()[1]
    async with server:
        yield site


@pytest.fixture
def allowed(context: ToolContext, site: Site) -> ToolContext:
    return replace(context, http_allow=(f"127.0.0.1:{site.port}", f"localhost:{site.port}"))


async def test_a_document_is_fetched(site: Site, allowed: ToolContext) -> None:
    site.page("/a?b=1", "grüße".encode("latin-1"), "content-type: text/plain; charset=latin-1")

    got = await http_get(site.url("/a?b=1"), allowed)

    assert (got.status, got.body, got.truncated) == (200, "grüße", False)
    assert got.content_type == "text/plain"
    (request,) = site.requests
    assert f"\r\nhost: 127.0.0.1:{site.port}\r\n" in request.lower()
    assert "accept-encoding: identity" in request.lower()


async def test_a_name_is_resolved_once_and_sent_as_host(site: Site, allowed: ToolContext) -> None:
    site.page("/", b"ok")

    await http_get(site.url("/", "localhost"), allowed)

    assert f"\r\nhost: localhost:{site.port}\r\n" in site.requests[0].lower()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is missing")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem",
         "-out", "cert.pem", "-subj", "/CN=x", "-addext", "subjectAltName=DNS:localhost"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    return tmp_path


async def test_tls_verifies_the_name_though_it_connects_to_an_address(
    certificate: Path, context: ToolContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    trust = ssl.create_default_context(cafile=str(certificate / "cert.pem"))
    site = Site()
    site.page("/", b"secure")
    async with await asyncio.start_server(site.answer, "127.0.0.1", 0, ssl=server_side) as server:
        port = server.sockets[0].getsockname()[1]
        allowed = replace(context, http_allow=(f"localhost:{port}", f"127.0.0.1:{port}"))

        with pytest.raises(ToolFailed, match="no connection"):
            await http_get(f"https://localhost:{port}/", allowed)  # nobody trusts it yet
        monkeypatch.setattr(module, "_trust", lambda: trust)
        assert (await http_get(f"https://localhost:{port}/", allowed)).body == "secure"
        with pytest.raises(ToolFailed, match="no connection"):
            await http_get(f"https://127.0.0.1:{port}/", allowed)  # the certificate is another's


async def test_an_error_of_the_host_is_a_result(site: Site, allowed: ToolContext) -> None:
    site.page("/", b'{"no": 1}', "content-type: application/problem+json", status="404 No")

    got = await http_get(site.url("/"), allowed)

    assert (got.status, got.body) == (404, '{"no": 1}')


async def test_nothing_is_reached_unless_allowed(site: Site, context: ToolContext) -> None:
    for allow in ((), ("example.com",), ("127.0.0.1",), ("127.0.0.1:1",), ("*",), ("*.0.0.1",)):
        with pytest.raises(ArgumentInvalid, match=r"^url: .* is not among the hosts"):
            await http_get(site.url("/"), replace(context, http_allow=allow))
    assert site.requests == []


@pytest.fixture
def resolving(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Addresses of names, instead of what the network says."""
    addresses: dict[str, str] = {}

    async def getaddrinfo(_: object, host: str, port: int, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (addresses[host], port))]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)
    return addresses


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.7", "169.254.169.254", "::1"])
@pytest.mark.parametrize("pattern", ["*", "*.example.com"])
async def test_a_pattern_never_reaches_a_private_address(
    context: ToolContext, resolving: dict[str, str], address: str, pattern: str
) -> None:
    resolving["evil.example.com"] = address

    with pytest.raises(ArgumentInvalid, match="private address"):
        await http_get("http://evil.example.com/", replace(context, http_allow=(pattern,)))


async def test_redirects_are_followed_and_held_to_the_same_rules(
    site: Site, allowed: ToolContext
) -> None:
    site.page("/old", b"", "location: /new", status="302 Found")
    site.page("/new", b"here")
    site.page("/out", b"", "location: http://169.254.169.254/latest", status="302 Found")
    site.page("/file", b"", "location: file:///etc/passwd", status="302 Found")
    site.page("/loop", b"", "location: /loop", status="302 Found")

    assert (await http_get(site.url("/old"), allowed)).url == site.url("/new")
    with pytest.raises(ArgumentInvalid, match="not among"):
        await http_get(site.url("/out"), allowed)
    with pytest.raises(ArgumentInvalid, match="http or https"):
        await http_get(site.url("/file"), allowed)
    with pytest.raises(ToolFailed, match="more than 5 redirects"):
        await http_get(site.url("/loop"), allowed)


async def test_a_large_body_is_cut(site: Site, allowed: ToolContext) -> None:
    site.page("/", b"x" * (module.BODY_BYTES_MAX + 1))

    got = await http_get(site.url("/"), allowed)

    assert got.truncated
    assert len(got.body) == module.BODY_BYTES_MAX


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        (("content-type: image/png",), "image/png, which is not text"),
        (("content-encoding: gzip",), "compressed"),
        (("transfer-encoding: nonsense", "content-length: x"), "the exchange failed"),
    ],
)
async def test_what_cannot_be_read_says_so(
    site: Site, allowed: ToolContext, headers: tuple[str, ...], why: str
) -> None:
    site.page("/", b"\x89PNG", *headers)

    with pytest.raises(ToolFailed, match=why):
        await http_get(site.url("/"), allowed)


async def test_a_host_that_does_not_answer(
    site: Site, allowed: ToolContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.pages["/"] = None
    monkeypatch.setattr(module, "_TIMEOUT", 0.05)

    with pytest.raises(ToolFailed, match="did not answer in time"):
        await http_get(site.url("/"), allowed)


async def test_a_host_that_is_not_there(context: ToolContext) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        at = f"127.0.0.1:{closed.getsockname()[1]}"

    with pytest.raises(ToolFailed, match="no connection"):
        await http_get(f"http://{at}/", replace(context, http_allow=(at,)))


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/",
        "file:///etc/passwd",
        "example.com",
        "http:///x",
        "http://user:pw@example.com/",
        "http://[::1",
        "http://exa\nmple.com/",
        "",
    ],
)
async def test_what_is_no_plain_url_is_the_arguments_fault(context: ToolContext, url: str) -> None:
    with pytest.raises(ArgumentInvalid, match=r"^url: "):
        await http_get(url, replace(context, http_allow=("*",)))


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("127.0.0.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),  # noqa: S104
        ("224.0.0.1", False),
        ("::", False),
        ("::1", False),
        ("fe80::1", False),
        ("fd00::1", False),
        ("ff02::1", False),
        ("::ffff:10.0.0.1", False),
        ("2002:0a00:0001::", False),
        ("64:ff9b::10.0.0.1", False),
    ],
)
def test_which_addresses_are_public(address: str, *, public: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is public


def test_hosts_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENTAD_TOOLS_HTTP_ALLOW", "API.example.com, 10.0.0.7:8080,,*.x.org ")

    assert Config.load().http_allow == ("api.example.com", "10.0.0.7:8080", "*.x.org")
    assert Config().http_allow == Config.load().http_allow
    monkeypatch.delenv("PENTAD_TOOLS_HTTP_ALLOW")
    assert Config.load().http_allow == ()
