"""The store's URL: what it may say, and what it says."""

from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote, urlencode

from redis.asyncio.connection import parse_url

from pentad_state.connection import Address, Server, to_server

_FORMS = (
    "redis://, rediss:// or unix:// for one server, redis+sentinel:// or redis+cluster:// for"
    " several (rediss+… with TLS)"
)
_PORT = 6379
_SENTINEL_PORT = 26379


@dataclass(frozen=True, slots=True)
class StoreUrl:
    """`SCHEME[+KIND]://[USER:PASSWORD@]HOST:PORT,…[/PATH][?NAME=VALUE&…]`."""

    kind: str
    """Empty for one server; `sentinel` or `cluster` for several."""

    servers: tuple[Server, ...]
    """Those that are named; none for one server, which may be named by a path."""

    name: str
    """What sentinels call their primary."""

    _scheme: str
    _login: str
    _query: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, url: str) -> "StoreUrl":
        """Return what a URL says, or raise a ValueError that does not repeat its password."""
        scheme, separator, rest = url.partition("://")
        scheme, plus, kind = scheme.partition("+")
        known = {"redis", "rediss"} if plus else {"redis", "rediss", "unix"}
        if not separator or scheme not in known or (plus and kind not in {"sentinel", "cluster"}):
            raise ValueError(f"must begin with {_FORMS}")
        if not plus:
            parse_url(url)  # for what is wrong with the rest
            return cls("", (), "", scheme, "", ())
        rest, _, query = rest.partition("?")
        login_and_servers, _, path = rest.partition("/")
        login, at, named = login_and_servers.rpartition("@")
        port = _SENTINEL_PORT if kind == "sentinel" else _PORT
        servers = tuple(to_server(text, port) for text in named.split(","))
        if kind == "sentinel" and not path:
            raise ValueError("must end with the name that the sentinels give their primary: …/NAME")
        return cls(kind, servers, unquote(path), scheme, login + at, tuple(parse_qsl(query)))

    def at(self, server: Server) -> Address:
        """Return where a server of the store is; all are spoken to in the same way."""
        query = [(name, value) for name, value in self._query if name not in _OF_SENTINELS]
        return Address(f"{self._scheme}://{self._login}{server}?{urlencode(query)}")

    def at_sentinel(self, server: Server) -> Address:
        """Return where a sentinel is: they have a user and a password of their own, or none."""
        told = dict(self._query)
        user, password = (quote(told.pop(name, ""), safe="") for name in _OF_SENTINELS)
        login = f"{user}:{password}@" if password else ""
        return Address(f"{self._scheme}://{login}{server}?{urlencode(told)}")


_OF_SENTINELS = ("sentinel_username", "sentinel_password")
