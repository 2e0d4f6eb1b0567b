"""All that can be set, and its value when nobody sets it."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from pentad_chassis.config import Settings


class Config(Settings, env_prefix="PENTAD_TOOLS_"):
    """Read from `PENTAD_TOOLS_*`; every problem reported at once."""

    address: str = "127.0.0.1:50054"
    """Where to listen; any gRPC target, including `unix:`."""

    state_address: str = "127.0.0.1:50055"
    """The state service, which keeps the effect ledger."""

    data_dir: Path = Path("data")
    """The only folder whose CSV files tools may read."""

    notebook_dir: Path = Path(".pentad/notebooks")
    """Where notebooks are kept, in a folder for each tenant."""

    http_allow: Annotated[tuple[str, ...], NoDecode] = ()
    """Hosts that `http_get` may reach, separated by commas: `api.example.com`, `10.0.0.7:8080`,
    `*.example.com`. A host named in full may have a private address; one that only matches a
    pattern may not. Empty refuses all."""

    webhook_allow: Annotated[tuple[str, ...], NoDecode] = ("*",)
    """Hosts that notices may be posted to, as in `http_allow`: by default every host with a public
    address, at the port that its scheme has. Name a host in full to allow a private address or
    another port: `*,10.0.0.7:8080`."""

    webhook_max_age_s: float = Field(default=24 * 3600.0, ge=1.0, le=30 * 24 * 3600.0)
    """A notice that nobody took for so long is given up, after one last attempt."""

    webhooks_max: int = Field(default=32, ge=1, le=100)
    """Webhooks that are told at once."""

    threads_max: int = Field(default=16, ge=1, le=256)
    """Synchronous tools that run at once, each in a thread."""

    hold_s: float = Field(default=5.0, ge=0.1, le=60.0)
    """This long after a runner's last sign of life others take its call for abandoned."""

    @field_validator("http_allow", "webhook_allow", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip().lower() for part in value.split(",") if part.strip())
        return value
