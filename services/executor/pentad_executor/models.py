"""What a model is to the executor, and which one an agent's `model` names."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Protocol

from pentad.executor.v1.executor_service_pb2 import ExecuteTurnRequest, TurnResult
from pentad.state.v1.budget_service_pb2 import Price
from pentad.state.v1.message_pb2 import Usage
from pentad_executor.errors import ModelNotConfigured, ModelUnknown

RULES = "rules"
"""The provider whose models cost nothing."""


@dataclass(slots=True)
class Call:
    """One call of a model, and what became of it."""

    call_id: str
    """Names it to the provider, and in the ledger of what was spent."""

    taken: bool = False
    """Whether the provider may have begun with it, so that it may have to be paid."""

    usage: Usage | None = None
    """What it consumed, once the provider has said so."""


class Model(Protocol):
    """The models of one provider."""

    def stream(
        self, name: str, turn: ExecuteTurnRequest, call: Call
    ) -> AsyncGenerator[str | TurnResult, None]:
        """Yield pieces of text while the model writes them, then the turn as a whole.

        Who has all of the text at once may leave the pieces out: the turn holds it.

        `name` is the provider's own. Closing the generator closes the connection; the caller
        bounds the time. Errors are those of `pentad_executor.errors`.
        """
        ...

    def weigh(self, name: str, turn: ExecuteTurnRequest) -> int:
        """Return how many bytes the request has that asks for the turn."""
        ...

    def price(self, name: str, input_tokens: int, output_tokens: int) -> Price | None:
        """Return what so many tokens cost at most; None for a model without a price."""
        ...


@dataclass(frozen=True, slots=True)
class MissingKey:
    """Stands where a provider's models would, had the executor a key for it."""

    variable: str
    """The environment variable to set."""


Providers = Mapping[str, Model | MissingKey]


@dataclass(frozen=True, slots=True)
class Choice:
    """A model that a turn can be given to."""

    provider: str
    """Before the colon of `openai:gpt-5`."""

    name: str
    """Behind it."""

    model: Model
    """Who performs the turn."""


def choose(providers: Providers, reference: str) -> Choice:
    """Return the model that `PROVIDER:NAME` names; ModelUnknown or ModelNotConfigured if none."""
    provider, _, name = reference.partition(":")
    model = providers.get(provider)
    if model is None or not name:
        known = ", ".join(f"{p}:NAME" for p in sorted(providers))
        raise ModelUnknown(reference, f"write one of {known}")
    if isinstance(model, MissingKey):
        raise ModelNotConfigured(
            reference,
            model.variable,
            f"set {model.variable} where the executor runs, and start it again",
        )
    return Choice(provider, name, model)
