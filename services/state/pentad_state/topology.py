"""Which servers make up the store, as its URL says: one, one behind sentinels, or a cluster."""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote, urlencode

from pentad_chassis.telemetry import Telemetry
from pentad_state.cluster import Cluster
from pentad_state.connection import Address, Endpoint, Server, to_server
from pentad_state.pipe import Pipe
from pentad_state.sentinel import Sentinels

_PORT = 6379
_SENTINEL_PORT = 26379


def store_at(
    url: str, open_pipe: Callable[[Endpoint], Pipe], telemetry: Telemetry
) -> tuple[Pipe | Cluster, Endpoint]:
    """Return the store at a URL, and where it is heard; ValueError when the URL is none."""
    scheme, _, rest = url.partition("://")
    scheme, _, kind = scheme.partition("+")
    match kind:
        case "":
            address = Address(url)
            return open_pipe(address), address
        case "sentinel":
            sentinels = _sentinels(_Url.parse(scheme, rest))
            return open_pipe(sentinels), sentinels
        case "cluster":
            parts = _Url.parse(scheme, rest)
            named = [to_server(text, _PORT) for text in parts.servers]
            cluster = Cluster(named, parts.at, open_pipe, telemetry)
            return cluster, cluster
        case _:
            raise ValueError(f"no kind of store is called {kind!r}: +sentinel, +cluster or neither")


@dataclass(frozen=True, slots=True)
class _Url:
    """`SCHEME[+KIND]://[USER:PASSWORD@]HOST:PORT,…[/PATH][?NAME=VALUE&…]`."""

    scheme: str
    login: str
    servers: list[str]
    path: str
    query: dict[str, str]

    @classmethod
    def parse(cls, scheme: str, rest: str) -> "_Url":
        rest, _, query = rest.partition("?")
        login_and_servers, _, path = rest.partition("/")
        login, at, servers = login_and_servers.rpartition("@")
        return cls(scheme, login + at, servers.split(","), unquote(path), dict(parse_qsl(query)))

    def at(self, server: Server) -> Address:
        """Return where one server is; all are spoken to in the same way."""
        return Address(f"{self.scheme}://{self.login}{server}?{urlencode(self.query)}")


def _sentinels(url: _Url) -> Sentinels:
    if not url.path:
        raise ValueError("a URL of sentinels ends with the name of their primary: …/NAME")
    # Sentinels are no part of the store: they have a user of their own, or none.
    user, password = (url.query.pop(f"sentinel_{what}", "") for what in ("username", "password"))
    login = f"{quote(user, safe='')}:{quote(password, safe='')}@" if password else ""
    theirs = _Url(url.scheme, login, url.servers, "", url.query)
    named = [theirs.at(to_server(text, _SENTINEL_PORT)) for text in url.servers]
    return Sentinels(named, url.path, url.at)
