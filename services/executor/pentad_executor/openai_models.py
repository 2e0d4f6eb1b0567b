"""Models of OpenAI, and of any endpoint that speaks its chat completions."""

import httpx2
from openai import AsyncOpenAI, Timeout
from pydantic_ai.models import Model
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers.openai import OpenAIProvider

from pentad_executor.config import Config
from pentad_executor.provider import ProviderModel

_NO_KEY = "none"
"""For endpoints of one's own that want no key; the client insists on one."""

_PROFILE = OpenAIModelProfile(
    # An answer that ends without saying so was cut off; it is not to pass for a whole one.
    openai_chat_streaming_requires_finish_reason=True
)


def openai_models(config: Config, http: httpx2.AsyncClient) -> ProviderModel:
    """Return the models of the configured endpoint."""
    key = config.openai_api_key
    client = AsyncOpenAI(
        api_key=key.get_secret_value() if key else _NO_KEY,
        base_url=config.openai_base_url,
        http_client=http,
        max_retries=0,
        timeout=Timeout(None, connect=config.model_connect_timeout_s),
    )
    provider = OpenAIProvider(openai_client=client)

    def open_model(name: str) -> Model:
        return OpenAIChatModel(name, provider=provider, profile=_PROFILE)

    return ProviderModel("openai", "OPENAI_API_KEY", open_model, config.max_prompt_bytes)
