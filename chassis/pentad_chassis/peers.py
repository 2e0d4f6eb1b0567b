"""What a service can tell of a peer: from its own calls, and by asking the peer itself."""

import asyncio
import ipaddress
import socket
from dataclasses import dataclass
from typing import Any

import grpc

from pentad.chassis.v1 import status_service_pb2 as pb
from pentad.chassis.v1.status_service_pb2_grpc import StatusServiceStub
from pentad_chassis.breaker import Breaker
from pentad_chassis.health import HEALTHY, Condition, degraded

_REPLICAS_MAX = 64
"""Of one peer, asked at once; who runs more has better eyes than this."""

_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.use_local_subchannel_pool", 1),  # what calls found out must not answer for the peer
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),
)


def condition_of(breaker: Breaker, connectivity: grpc.ChannelConnectivity) -> Condition:
    """Return how a peer looks from here, without asking it."""
    if breaker.state == "half-open":
        return degraded("circuit half open, one call tries the peer")
    if breaker.state == "open":
        return _open(breaker.next_attempt_s, connectivity)
    if connectivity is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
        return degraded("cannot be reached, or does not serve")
    return HEALTHY


def _open(next_attempt_s: float, connectivity: grpc.ChannelConnectivity) -> Condition:
    if next_attempt_s > 0:
        return degraded(f"circuit open, next attempt in {next_attempt_s:.1f} s")
    if connectivity is grpc.ChannelConnectivity.READY:
        # The next call is let through and finds a connection: a service that had nothing to ask
        # since the peer came back is not ill for that.
        return HEALTHY
    return degraded("circuit open, the next call is an attempt")


@dataclass(frozen=True, slots=True)
class Enquiry:
    """Asks every replica of a peer for its status.

    Each is asked over a connection of its own. So the answer is the peer's, whatever balancing
    and breaker think of it, and no breaker learns of it.
    """

    asker: str
    peer: str
    target: str
    credentials: grpc.ChannelCredentials | None

    async def __call__(self, depth: int, timeout_s: float) -> list[pb.ServiceStatus]:
        """Return what all replicas answer; one that does not is unhealthy."""
        try:
            async with asyncio.timeout(timeout_s):
                replicas = await replicas_of(self.target)
        except (OSError, TimeoutError):
            return [self._silent(self.target, "its name cannot be resolved")]
        answers = await asyncio.gather(
            *(self._ask(replica, depth, timeout_s) for replica in replicas[:_REPLICAS_MAX])
        )
        heard = {_family(r) for r, a in zip(replicas, answers, strict=False) if _is_heard(a)}
        return [
            status
            for replica, answer in zip(replicas, answers, strict=False)
            # A name may lead to a host's IPv4 and IPv6 addresses, and the peer listen on one.
            if not heard or _family(replica) in heard
            for status in answer
        ]

    async def _ask(self, replica: str, depth: int, timeout_s: float) -> list[pb.ServiceStatus]:
        request = pb.GetStatusRequest(depth=depth)
        async with self._connect(replica) as channel:
            try:
                response: pb.GetStatusResponse = await StatusServiceStub(channel).GetStatus(
                    request, timeout=timeout_s
                )
            except grpc.aio.AioRpcError as error:
                return [self._silent(replica, _why(error, timeout_s))]
        return list(response.services)

    def _connect(self, replica: str) -> grpc.aio.Channel:
        if self.credentials is None:
            return grpc.aio.insecure_channel(replica, options=_OPTIONS)
        options = list(_OPTIONS)
        if host := _host(self.target):
            # The certificate names the service and not the address that its name led to.
            options.append(("grpc.ssl_target_name_override", host))
        return grpc.aio.secure_channel(replica, self.credentials, options=options)

    def _silent(self, replica: str, why: str) -> pb.ServiceStatus:
        return pb.ServiceStatus(
            service=self.peer,
            instance=replica,
            level=pb.LEVEL_UNHEALTHY,
            conditions=[
                pb.Condition(name=f"asked by {self.asker}", level=pb.LEVEL_UNHEALTHY, reason=why)
            ],
        )


async def replicas_of(target: str) -> list[str]:
    """Return the address of each replica that a gRPC target names."""
    scheme, _, rest = target.partition(":")
    if scheme in {"unix", "unix-abstract"}:
        return [f"{scheme}:{path}" for path in rest.removeprefix("//").split(",")]
    if scheme in {"ipv4", "ipv6"}:
        return [f"{scheme}:{address}" for address in rest.removeprefix("///").split(",")]
    found = [await _resolve(each) for each in _without_scheme(target).split(",")]
    return [address for addresses in found for address in addresses]


async def _resolve(address: str) -> list[str]:
    host, _, port = address.rpartition(":")
    if not host or _is_ip(host):
        return [address]
    infos = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return sorted({_numeric(*info[4][:2]) for info in infos})


def _numeric(host: str, port: int) -> str:
    return f"ipv6:[{host}]:{port}" if ":" in host else f"ipv4:{host}:{port}"


def _family(replica: str) -> str:
    return replica.partition(":")[0] if replica.startswith(("ipv4:", "ipv6:")) else ""


def _is_heard(answer: list[pb.ServiceStatus]) -> bool:
    return answer[0].HasField("start_time")


def _host(target: str) -> str:
    """Return the name that a target is reached by, or nothing where it has none."""
    host = _without_scheme(target).rpartition(":")[0]
    return "" if _is_ip(host) or target.startswith(("unix", "ipv4:", "ipv6:")) else host


def _without_scheme(target: str) -> str:
    return target.removeprefix("dns:").removeprefix("///")


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _why(error: grpc.aio.AioRpcError, timeout_s: float) -> str:
    match error.code():
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return f"no answer within {timeout_s:.1f} s"
        case grpc.StatusCode.UNAVAILABLE:
            return "cannot be reached"
        case code:
            return f"answers {code.name}"
