"""The first key, without which nobody could call a new installation."""

import asyncio
from collections.abc import Callable

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from pentad_chassis.errors import DeadlineExceeded, ResourceExhausted, Unavailable
from pentad_chassis.telemetry import Telemetry
from pentad_gateway.auth import ApiKeys, KeyHolder
from pentad_gateway.config import Config
from pentad_gateway.keyfile import others_may_read, read_or_create

TENANT = "default"
"""Owner of all that is done with the first key."""

_PASSING = (Unavailable, DeadlineExceeded, ResourceExhausted)
_BACKOFF_S = 0.1
_BACKOFF_S_MAX = 2.0


async def enrol_first_key(keys: ApiKeys, config: Config, telemetry: Telemetry) -> None:
    """Make the configured key valid, or else that of the key file, which is made if need be.

    Waits for the state service as long as it takes: services start in any order.
    """
    if config.api_key is not None:
        key, holder = config.api_key.get_secret_value(), KeyHolder(tenant=TENANT, name="configured")
    else:
        key = await asyncio.to_thread(_from_file, config, telemetry)
        holder = KeyHolder(tenant=TENANT, name="first")
    retrying = AsyncRetrying(
        retry=retry_if_exception_type(_PASSING),
        wait=wait_random_exponential(multiplier=_BACKOFF_S, max=_BACKOFF_S_MAX),
        before_sleep=_say_once(telemetry),
    )
    await retrying(keys.enrol, key, holder)


def _from_file(config: Config, telemetry: Telemetry) -> str:
    path = config.api_key_file
    key = read_or_create(path)
    if others_may_read(path):
        telemetry.log.warning("others may read the API key; chmod 600 it", path=str(path))
    return key


def _say_once(telemetry: Telemetry) -> Callable[[RetryCallState], None]:
    def say(state: RetryCallState) -> None:
        if state.attempt_number == 1:
            telemetry.log.info("waiting for the state service")

    return say
