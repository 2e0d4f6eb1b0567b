"""All that can be set, and its value when nobody sets it."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, SecretStr

from pentad_chassis.config import Settings
from pentad_gateway.keys import is_key


def _key_or_nothing(value: SecretStr | None) -> SecretStr | None:
    # An empty variable is how compose files and charts say "not set".
    if value is None or not value.get_secret_value():
        return None
    if not is_key(value.get_secret_value()):
        raise ValueError("must be `pentad_` and 43 characters of A-Z a-z 0-9 _ -")
    return value


class Config(Settings, env_prefix="PENTAD_GATEWAY_"):
    """Read from `PENTAD_GATEWAY_*`; every problem reported at once."""

    address: str = "127.0.0.1:50051"
    """Where to listen; any gRPC target, including `unix:`."""

    orchestrator_address: str = "127.0.0.1:50052"
    """Where the orchestrator service listens."""

    tools_address: str = "127.0.0.1:50054"
    """Where the tools service listens."""

    state_address: str = "127.0.0.1:50055"
    """Where the state service listens."""

    api_key: Annotated[SecretStr | None, AfterValidator(_key_or_nothing)] = None
    """A key that is valid from the start, `pentad_` and 43 characters; wins over the file."""

    api_key_file: Path = Path(".pentad/api-key")
    """Where the first key is kept; made with a new key when it does not exist."""
