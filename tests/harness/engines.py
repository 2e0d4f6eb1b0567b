"""Engines for tests of the state service: real servers, in folders of theirs."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.cluster import RedisCluster
from redis.sentinel import Sentinel

from pentad_state.engine import find_binary

SINGLE = ("valkey", pytest.param("redis", marks=pytest.mark.long))
"""The embedded one, and the distribution's."""

ENGINES = (*SINGLE, "cluster", pytest.param("sentinel", marks=pytest.mark.long))
"""And several servers: three that share the slots, and a primary behind sentinels.

The embedded one and the shards show what differs soonest; the others have their turn in the long
run.
"""

PASSWORD = "pass word"
PRIMARY = "main"
_LOGIN = ":pass%20word"
_START_S = 20.0


def binary_of(engine: str) -> Path:
    """Return the engine's binary; where it is missing, CI fails and others skip."""
    if engine != "redis":
        return find_binary()
    installed = shutil.which("redis-server")
    if installed is None:
        missing = "no redis-server on the PATH: apt-get install redis-server"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return Path(installed)


@contextmanager
def running_engine(engine: str) -> Iterator[str]:
    """Run servers that write to disk as the embedded one does, and yield their address."""
    if engine == "cluster":
        with running_cluster() as cluster:
            yield cluster.url
        return
    if engine == "sentinel":
        with running_sentinels(1) as trio:
            yield trio.url
        return
    with tempfile.TemporaryDirectory(prefix="pentad-test-") as folder:
        path = Path(folder) / "sock"
        process = subprocess.Popen(
            [
                binary_of(engine), "--port", "0", "--unixsocket", path, "--dir", folder,
                *_SETTINGS,
            ],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            url = f"unix://{path}"
            await_true(lambda: ask(url, "PING"), "an engine")
            yield url
        finally:
            process.terminate()
            process.wait(timeout=10)


def ask(url: str, *command: str | int) -> object:
    """Return what the store answers to one command."""
    with _client(url) as client:
        answer: object = client.execute_command(*command)
        return answer


def await_true(condition: Callable[[], object], what: str) -> None:
    """Wait until the condition holds; a server that is not there yet counts as no."""
    until = time.monotonic() + _START_S
    while True:
        try:
            if condition():
                return
        except (redis.RedisError, OSError):
            pass
        assert time.monotonic() < until, f"there never was {what}"
        time.sleep(0.02)


class Node:
    """A server on a port of loopback, which tests may kill, halt and start again."""

    def __init__(self, stack: ExitStack, engine: str, *settings: str) -> None:
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pentad-test-")))
        self.port, self.bus = free_ports(2)
        self.url = f"redis://{_LOGIN}@127.0.0.1:{self.port}"
        self._command = [
            str(binary_of(engine)), *(s.format(node=self) for s in settings),
            "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder),
        ]  # fmt: skip
        self.start()
        stack.callback(self.kill)

    def start(self) -> None:
        """Run the server on what it wrote before."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        await_true(lambda: self.ask("PING"), "a server")

    def kill(self) -> None:
        """End the server at once."""
        self._process.kill()
        self._process.wait(timeout=10)

    def halt(self) -> None:
        """Let the server hang."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Wake a server that hangs."""
        self._process.send_signal(signal.SIGCONT)

    def ask(self, *command: str | int) -> Any:
        """Return what this server answers to one command."""
        return ask(self.url, *command)


class Cluster:
    """Three primaries that share the slots, perhaps with a replica each."""

    def __init__(self, stack: ExitStack, *, replicated: bool) -> None:
        self.nodes = [self._node(stack) for _ in range(3)]
        self.url = f"redis+cluster://{_LOGIN}@" + ",".join(
            f"127.0.0.1:{node.port}" for node in self.nodes
        )
        starts = (0, 5461, 10923, 16384)
        for i, node in enumerate(self.nodes):
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", i + 1)
            node.ask("CLUSTER", "ADDSLOTSRANGE", starts[i], starts[i + 1] - 1)
            self._introduce(node)
        await_true(lambda: all(map(self._is_whole, self.nodes)), "a whole cluster")
        self.replicas = [self._follower(stack, node) for node in self.nodes if replicated]

    def has_another_primary(self) -> bool:
        """Return whether the first node's replica has its slots."""
        replica = self.replicas[0]
        return _facts(replica)["role"] == "master" and self._is_whole(replica)

    def _node(self, stack: ExitStack) -> Node:
        return Node(
            stack, "valkey", *_SETTINGS, *_WITH_PASSWORD, "--cluster-enabled", "yes",
            "--cluster-port", "{node.bus}", "--cluster-node-timeout", "1500",
            "--repl-diskless-sync-delay", "0",
        )  # fmt: skip

    def _follower(self, stack: ExitStack, primary: Node) -> Node:
        follower = self._node(stack)
        self._introduce(follower)
        name = primary.ask("CLUSTER", "MYID").decode()
        await_true(lambda: follower.ask("CLUSTER", "REPLICATE", name), "an acquaintance")
        await_true(lambda: _facts(follower)["master_link_status"] == "up", "a replica")
        return follower

    def _introduce(self, node: Node) -> None:
        node.ask("CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port, self.nodes[0].bus)

    def _is_whole(self, node: Node) -> bool:
        info = str(node.ask("CLUSTER", "INFO"))
        return "cluster_state:ok" in info and "cluster_size:3" in info


def _facts(node: Node) -> dict[str, Any]:
    return dict(node.ask("INFO", "replication"))


class Trio:
    """A primary with replicas, and three sentinels that watch them."""

    def __init__(self, stack: ExitStack, replicas: int) -> None:
        settings = (*_SETTINGS, *_WITH_PASSWORD, "--repl-diskless-sync-delay", "0")
        self.primary = Node(stack, "valkey", *settings)
        self.replicas = [
            Node(stack, "valkey", *settings, "--replicaof", f"127.0.0.1 {self.primary.port}")
            for _ in range(replicas)
        ]
        await_true(lambda: self._followers() == replicas, "replicas")
        self.sentinels = [self._sentinel(stack) for _ in range(3)]
        self.url = (
            f"redis+sentinel://{_LOGIN}@"
            + ",".join(f"127.0.0.1:{each.port}" for each in self.sentinels)
            + f"/{PRIMARY}?sentinel_password={_LOGIN[1:]}"
        )
        await_true(self._is_agreed, "sentinels that know each other")

    def _sentinel(self, stack: ExitStack) -> Node:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pentad-test-")))
        file = folder / "sentinel.conf"
        file.write_text(
            f'requirepass "{PASSWORD}"\n'
            f'sentinel sentinel-pass "{PASSWORD}"\n'
            f"sentinel monitor {PRIMARY} 127.0.0.1 {self.primary.port} 2\n"
            f'sentinel auth-pass {PRIMARY} "{PASSWORD}"\n'
            f"sentinel down-after-milliseconds {PRIMARY} 500\n"
            f"sentinel failover-timeout {PRIMARY} 3000\n"
            f"sentinel parallel-syncs {PRIMARY} 2\n"
        )
        return Node(stack, "valkey", str(file), "--sentinel")

    def has_another_primary(self) -> bool:
        """Return whether the sentinels have agreed on one of the replicas."""
        known = self.sentinels[0].ask("INFO", "sentinel")["master0"]
        return not known["address"].endswith(f":{self.primary.port}") and known["status"] == "ok"

    def primary_now(self) -> Node:
        """Return the server that the sentinels hold for the primary."""
        address = self.sentinels[0].ask("INFO", "sentinel")["master0"]["address"]
        nodes = (self.primary, *self.replicas)
        return next(node for node in nodes if address.endswith(f":{node.port}"))

    def _followers(self) -> int:
        return int(_facts(self.primary)["connected_slaves"])

    def _is_agreed(self) -> bool:
        known = [each.ask("INFO", "sentinel")["master0"] for each in self.sentinels]
        return all((k["sentinels"], k["slaves"]) == (3, len(self.replicas)) for k in known)


@contextmanager
def running_cluster(*, replicated: bool = False) -> Iterator[Cluster]:
    """Run three primaries while the block runs, and a replica of each if asked to."""
    with ExitStack() as stack:
        yield Cluster(stack, replicated=replicated)


@contextmanager
def running_sentinels(replicas: int) -> Iterator[Trio]:
    """Run a primary, its replicas and three sentinels while the block runs."""
    with ExitStack() as stack:
        yield Trio(stack, replicas)


def free_ports(count: int) -> list[int]:
    """Return ports of loopback that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


_SETTINGS = (
    "--appendonly", "yes", "--appendfsync", "always", "--save", "",
    "--maxmemory-policy", "noeviction", "--loglevel", "warning",
)  # fmt: skip
_WITH_PASSWORD = ("--requirepass", PASSWORD, "--masterauth", PASSWORD)


def _client(url: str) -> Any:
    """Return a client of redis-py's, which knows servers of all kinds by itself."""
    kind, _, rest = url.partition("://")
    if "+" not in kind:
        return redis.Redis.from_url(url)
    servers = rest.partition("@")[2].partition("/")[0].split(",")
    host, port = servers[0].split(":")
    if kind == "redis+cluster":
        return RedisCluster(host=host, port=int(port), password=PASSWORD)
    sentinel: Any = Sentinel  # it has no types
    known = sentinel([(host, int(port))], sentinel_kwargs={"password": PASSWORD})
    return known.master_for(PRIMARY, password=PASSWORD)
