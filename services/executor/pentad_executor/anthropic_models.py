"""Models of Anthropic, by its Messages API."""

import httpx2
from anthropic import AsyncAnthropic, Timeout
from pydantic_ai.models import Model
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.providers.anthropic import AnthropicProvider

from pentad_executor.config import Config
from pentad_executor.provider import ProviderModel


def anthropic_models(config: Config, http: httpx2.AsyncClient) -> ProviderModel:
    """Return the models of the configured endpoint."""
    key = config.anthropic_api_key
    client = AsyncAnthropic(
        api_key=key.get_secret_value() if key else None,
        base_url=config.anthropic_base_url,
        http_client=http,
        max_retries=0,
        timeout=Timeout(None, connect=config.model_connect_timeout_s),
    )
    provider = AnthropicProvider(anthropic_client=client)

    def open_model(name: str) -> Model:
        return AnthropicModel(name, provider=provider)

    return ProviderModel("anthropic", "ANTHROPIC_API_KEY", open_model, config.max_prompt_bytes)
