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

    threads_max: int = Field(default=16, ge=1, le=256)
    """Synchronous tools that run at once, each in a thread."""

    hold_s: float = Field(default=5.0, ge=0.1, le=60.0)
    """This long after a runner's last sign of life others take its call for abandoned."""

    @field_validator("http_allow", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip().lower() for part in value.split(",") if part.strip())
        return value
