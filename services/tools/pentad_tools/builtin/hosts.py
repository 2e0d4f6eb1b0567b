"""Which hosts may be reached, and at which addresses."""

import asyncio
import ipaddress
import socket

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_DEFAULT_PORTS = {"http": 80, "https": 443}

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class HostRefused(Exception):
    """The host is not to be reached; the message says why."""


async def permitted_address(allow: tuple[str, ...], scheme: str, host: str, port: int) -> str:
    """Return the address to connect to, or raise HostRefused.

    The name is resolved here and only here: were it resolved again to connect, it could by then
    point elsewhere.
    """
    host = host.lower().rstrip(".")
    usual = port == _DEFAULT_PORTS[scheme]
    exact = f"{host}:{port}" in allow or (usual and host in allow)
    if not exact and not (usual and any(_matches(pattern, host) for pattern in allow)):
        known = ", ".join(allow) or "none"
        at = host if usual else f"{host}:{port}"
        raise HostRefused(f"{at} is not among the hosts that may be reached: {known}")
    addresses = await _resolve(host, port)
    if not exact and not all(is_public(address) for address in addresses):
        raise HostRefused(f"{host} has a private address, and is not named in full as allowed")
    return str(addresses[0])


def is_public(address: Address) -> bool:
    """Whether the address, and any that is wrapped in it, belongs to the open internet."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address.teredo is not None:
            inner = address.teredo[1]
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast


def _matches(pattern: str, host: str) -> bool:
    return pattern == "*" or (pattern.startswith("*.") and host.endswith(pattern[1:]))


async def _resolve(host: str, port: int) -> list[Address]:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise HostRefused(f"{host} has no address") from None
    return [ipaddress.ip_address(str(sockaddr[0]).partition("%")[0]) for *_, sockaddr in found]
