"""How many processes run each service, as `executor=2,orchestrator=2` says it."""

import re
import sys
from collections.abc import Mapping

from pentad_allinone.layout import ONE_EACH, SERVICES
from pentad_chassis.config import ConfigInvalid

REPLICAS_MAX = 64
"""Of one service; as many as are asked when somebody wants to know how a peer is."""

_NUMBER = re.compile("[1-9][0-9]?")


class ReplicasInvalid(ConfigInvalid):
    """`--replicas` asks for what cannot be; `problems` says which part, and what can."""


def parse_replicas(text: str) -> Mapping[str, int]:
    """Return the number of processes of every service, one where `text` does not name it.

    Raises ReplicasInvalid with all that is wrong.
    """
    found: dict[str, int] = {}
    problems = []
    for part in text.split(","):
        service, _, number = (word.strip() for word in part.partition("="))
        if problem := _problem(service, number, found):
            problems.append(f"--replicas: {part.strip()!r}: {problem}")
        else:
            found[service] = int(number)
    if problems:
        raise ReplicasInvalid(tuple(problems))
    return {**ONE_EACH, **found}


def _problem(service: str, number: str, found: Mapping[str, int]) -> str:
    """Return what is wrong with one part and what would be right; nothing when all is well."""
    if service not in SERVICES:
        return f"there is no such service; give SERVICE=NUMBER, of {', '.join(SERVICES)}"
    if service in found:
        return f"{service} is named twice; give one number for it"
    if not (_NUMBER.fullmatch(number) and int(number) <= REPLICAS_MAX):
        return f"that is no number of processes; give {service}=1 to {service}={REPLICAS_MAX}"
    if service == "gateway" and int(number) > 1 and sys.platform != "linux":
        return "only Linux gives the connections to one port to several processes; give gateway=1"
    return ""
