"""What `pentad doctor` looks at: settings, the key, what answers, what is unsafe."""

import ipaddress
import stat
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from pentad.chassis.v1.status_service_pb2 import (
    LEVEL_DEGRADED,
    LEVEL_HEALTHY,
    LEVEL_UNHEALTHY,
)
from pentad.gateway.v1.run_service_pb2 import ListRunsRequest
from pentad.gateway.v1.system_service_pb2 import GetSystemStatusRequest
from pentad.gateway.v1.tool_service_pb2 import ListToolsRequest
from pentad_allinone.configs import CONFIGS
from pentad_allinone.layout import SERVICES
from pentad_chassis.config import ConfigInvalid, Settings
from pentad_chassis.errors import ServiceError
from pentad_cli.connection import Client, Connection, open_client
from pentad_cli.failure import CommandFailed, describe
from pentad_cli.levels import complaints, level_word

_CALL_S = 5.0
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Verdict(Enum):
    """How a check came out; only a problem makes the doctor fail."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


_VERDICTS = {
    LEVEL_HEALTHY: Verdict.OK,
    LEVEL_DEGRADED: Verdict.NOTE,
    LEVEL_UNHEALTHY: Verdict.PROBLEM,
}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at."""

    what: str
    verdict: Verdict
    detail: str


def check_settings() -> Iterator[Check]:
    """Read each service's settings from this environment."""
    for service in SERVICES:
        try:
            config = CONFIGS[service].load()
        except ConfigInvalid as invalid:
            yield Check(f"settings of {service}", Verdict.PROBLEM, "; ".join(invalid.problems))
            continue
        chosen = sorted(config.model_fields_set)
        detail = f"set here: {', '.join(chosen)}" if chosen else "all as shipped"
        yield Check(f"settings of {service}", Verdict.OK, detail)
        yield from _check_network(service, config)
        if service == "executor":
            yield from _check_models(config)


def _check_network(service: str, config: Settings) -> Iterator[Check]:
    for address in filter(None, (config.address, config.shared_address)):
        if not is_local(address) and config.tls_cert_file is None:
            detail = f"would listen on {address} without TLS; set PENTAD_{service.upper()}_TLS_*"
            yield Check(f"network of {service}", Verdict.PROBLEM, detail)
    redis_url = getattr(config, "redis_url", None)
    if redis_url is not None and redis_url.get_secret_value().startswith("redis://"):
        detail = "redis:// is not encrypted; keep it on a private network or use rediss://"
        yield Check("store", Verdict.NOTE, detail)
    if getattr(config, "durability", "disk") == "process":
        detail = "durability is `process`: the host's death may lose the last second"
        yield Check("store", Verdict.NOTE, detail)


def _check_models(config: Settings) -> Iterator[Check]:
    yield Check("model rules:", Verdict.OK, "offline, always there")
    for provider in ("openai", "anthropic"):
        key = getattr(config, f"{provider}_api_key", None)
        url = getattr(config, f"{provider}_base_url", None)
        at = f" at {url}" if url else ""
        if key is not None or url is not None:
            detail = f"{'key set' if key is not None else 'no key'}{at}"
            yield Check(f"model {provider}:", Verdict.OK, detail)
        else:
            yield Check(f"model {provider}:", Verdict.NOTE, f"no {provider.upper()}_API_KEY")


def check_key(connection: Connection) -> Iterator[Check]:
    """Look for the key, and at who else could read it."""
    if connection.api_key is not None:
        yield Check("key", Verdict.OK, "from PENTAD_API_KEY")
        return
    path = connection.api_key_file
    try:
        connection.key()
    except CommandFailed as failure:
        yield Check("key", Verdict.PROBLEM, str(failure))
        return
    yield _private("key", path, f"chmod 600 {path}")
    yield _private("key's folder", path.parent, f"chmod 700 {path.parent}")


def _private(what: str, path: Path, remedy: str) -> Check:
    if path.is_dir() and path.resolve() == Path.cwd():
        return Check(what, Verdict.NOTE, "is the current folder")
    if path.stat().st_mode & (_OTHERS if path.is_file() else stat.S_IWGRP | stat.S_IWOTH):
        return Check(what, Verdict.PROBLEM, f"{path} is open to others: `{remedy}`")
    return Check(what, Verdict.OK, f"{path}, for its owner only")


async def check_suite(connection: Connection) -> list[Check]:
    """Call the suite with the key, and look at every service behind the gateway."""
    found: list[Check] = []
    if not is_local(connection.address) and connection.tls_ca_file is None:
        detail = f"the key would travel to {connection.address} in the clear; set PENTAD_TLS_*"
        found.append(Check("network", Verdict.PROBLEM, detail))
    probes: tuple[tuple[str, Callable[[Client], Awaitable[str]]], ...] = (
        ("gateway and state", _count_runs),
        ("tools", _count_tools),
    )
    async with open_client(connection) as client:
        for what, probe in probes:
            try:
                found.append(Check(what, Verdict.OK, await probe(client)))
            except ServiceError as error:
                detail = describe(error, connection.address)
                found.append(Check(what, Verdict.PROBLEM, detail))
                return found
        found += await _check_services(client, connection)
    return found


async def _check_services(client: Client, connection: Connection) -> list[Check]:
    """Look at every service and replica as the gateway sees it."""
    try:
        system = await client.system.GetSystemStatus(GetSystemStatusRequest(), timeout=_CALL_S)
    except ServiceError as error:
        return [Check("services", Verdict.PROBLEM, describe(error, connection.address))]
    return [
        Check(
            f"service {status.service} {status.instance}",
            _VERDICTS.get(status.level, Verdict.PROBLEM),
            "; ".join(complaints(status)) or level_word(status.level),
        )
        for status in system.services
    ]


async def _count_runs(client: Client) -> str:
    page = await client.runs.ListRuns(ListRunsRequest(page_size=1), timeout=_CALL_S)
    return "answer" if page.runs else "answer; no runs yet"


async def _count_tools(client: Client) -> str:
    tools = (await client.tools.ListTools(ListToolsRequest(), timeout=_CALL_S)).tools
    return f"answer; {', '.join(tool.name for tool in tools)}"


def is_local(address: str) -> bool:
    """Whether an address never leaves this machine."""
    if address.startswith("unix:"):
        return True
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
