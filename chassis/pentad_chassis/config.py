"""Settings from the environment: frozen, typed, every problem reported at once."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class ConfigInvalid(Exception):
    """The environment holds settings that cannot be used; `problems` has a line for each."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Settings(BaseSettings):
    """Base of every service's `Config`; a subclass names its `env_prefix`.

    Fields have working defaults, so that an empty environment starts a service on loopback.
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid")

    address: str = "127.0.0.1:0"
    """Where to listen: `HOST:PORT`, or `unix:PATH` for callers on the same machine."""

    shared_address: str = ""
    """Where to listen besides, together with others of the same user: each new connection goes to
    one of them, which the kernel chooses. `ADDRESS` is a `unix:` one of this process alone then."""

    tls_cert_file: Path | None = None
    """This service's certificate chain, PEM. With key and CA it makes every hop mutual TLS."""

    tls_key_file: Path | None = None
    """The certificate's private key, PEM."""

    tls_ca_file: Path | None = None
    """Certificates that peers must be signed by, PEM."""

    insecure_network: bool = False
    """Allow listening beyond loopback without TLS, for networks that encrypt by themselves."""

    max_in_flight: int = 1000
    """Unary calls served at once; more are refused with OVERLOADED."""

    max_streams: int = 10_000
    """Response streams open at once; more are refused with OVERLOADED."""

    link: bool = True
    """Carry calls to peers over links, many in a message; else each goes by itself."""

    silence_s: float = Field(default=4.0, ge=1.0, le=60.0)
    """A connection on which a peer says nothing for this long, asked or not, counts as lost."""

    breaker_reset_s: float = Field(default=2.0, gt=0, le=60.0)
    """How long a peer that fails again and again is left alone before one call tries it."""

    drain_delay_s: float = 0.0
    """Time between turning NOT_SERVING and refusing calls; 1 s where clients balance by health."""

    drain_grace_s: float = 10.0
    """Time for calls in flight to finish when the service stops."""

    max_beginning: int = Field(default=16, ge=1)
    """Calls that begin new work, such as creating a run, served at once; more stand in line."""

    max_queue_s: float = Field(default=0.1, gt=0, le=60.0)
    """Time in that line above which more such calls are refused with OVERLOADED."""

    metrics_address: str = ""
    """Where Prometheus reads `http://HOST:PORT/metrics`; empty for nowhere."""

    log_level: str = "info"
    """debug, info, warning or error."""

    log_content: bool = False
    """Let logs tell what users, models and tools say. Credentials stay out of them all the same."""

    tracer: Literal["own", "instrumentation"] = "own"
    """Who makes the spans of calls: Pentad, or opentelemetry-instrumentation-grpc with its faults,
    which docs/observability.md lists."""

    metrics_tenants: int = Field(default=0, ge=0, le=1000)
    """Tenants told apart in metrics; those beyond are `other`. With 0 none are."""

    @field_validator("shared_address")
    @classmethod
    def _is_not_the_only_one(cls, shared: str, info: ValidationInfo) -> str:
        # What is shared is shared by the whole server: a second one on ADDRESS must fail instead.
        if shared and not str(info.data.get("address")).startswith("unix:"):
            raise ValueError("needs an ADDRESS of this process alone, `unix:PATH`")
        return shared

    @classmethod
    def load(cls) -> Self:
        """Read the environment, or raise ConfigInvalid with every problem in it."""
        try:
            return cls()
        except ValidationError as invalid:
            prefix = str(cls.model_config.get("env_prefix", ""))
            problems = tuple(
                f"{prefix}{'_'.join(map(str, e['loc']))}".upper()
                + f": {e['msg'].removeprefix('Value error, ')}"
                for e in invalid.errors(include_input=False, include_url=False)
            )
            raise ConfigInvalid(problems) from None
