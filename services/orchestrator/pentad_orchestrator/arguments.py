"""Arguments of the native tools: their schemas for models, and a check of what models send."""

import json
from functools import lru_cache
from typing import Annotated, Any, Literal, Self, TypeVar

import jsonschema_rs
from google.protobuf.struct_pb2 import Struct
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.json_schema import GenerateJsonSchema

INPUTS_MAX = 100
PARALLELISM_MAX = 16
_SCHEMA_BYTES_MAX = 8 * 1024
_PROBLEMS_MAX = 10
_WORDS_MAX = 200
_REMEMBERED = 64

_Text = Annotated[str, Field(min_length=1, pattern=r"\S")]
_LEFT_OUT: Any = None
"""Default of what need not be given; no type of an argument says so, lest errors speak of it."""


class ArgumentsInvalid(Exception):
    """Arguments break the schema; the message names each field and what would be right."""


class _Arguments(BaseModel):
    """An argument that may be left out may be null as well, as models like to say it."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, given: object) -> object:
        if not isinstance(given, dict):
            return given
        return {name: value for name, value in given.items() if value is not None}


class AskHuman(_Arguments):
    """Ask a person and wait for the answer, however long it takes."""

    question: Annotated[_Text, Field(max_length=4096, description="What you want to know.")]
    answer_schema: Annotated[
        dict[str, Any],
        Field(alias="schema", description="JSON Schema of the answer; any text without one."),
    ] = _LEFT_OUT

    @model_validator(mode="after")
    def _can_be_answered(self) -> Self:
        if self.answer_schema is not None:
            _check_schema(self.answer_schema)
        return self


class Sleep(_Arguments):
    """Wait for a while, or until a time; give one of the two."""

    seconds: Annotated[float, Field(gt=0, le=30 * 24 * 3600, description="How long to wait.")] = (
        _LEFT_OUT
    )
    until: Annotated[
        AwareDatetime, Field(description="When to go on, such as 2030-01-31T08:00:00Z.")
    ] = _LEFT_OUT

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.seconds is None) == (self.until is None):
            raise ValueError("give either seconds or until")
        return self


class Delegate(_Arguments):
    """Have another agent do work, once or for each of a list; give input or inputs."""

    input: Annotated[_Text, Field(description="What the agent is asked.")] = _LEFT_OUT
    inputs: Annotated[
        list[_Text],
        Field(
            min_length=1, max_length=INPUTS_MAX, description="For several runs, what each is asked."
        ),
    ] = _LEFT_OUT
    parallelism: Annotated[
        int, Field(ge=1, le=PARALLELISM_MAX, description="How many of them run at once.")
    ] = 4
    join: Annotated[
        Literal["all", "any", "first"],
        Field(description="Wait for all, for any that succeeds, or for the first `count`."),
    ] = "all"
    count: Annotated[int, Field(ge=1, le=INPUTS_MAX)] = 1

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.input is None) == (self.inputs is None):
            raise ValueError("give either input or inputs")
        return self

    @property
    def texts(self) -> list[str]:
        """What each run is asked."""
        return [self.input] if self.inputs is None else self.inputs


_Model = TypeVar("_Model", bound=_Arguments)


@lru_cache(maxsize=_REMEMBERED)
def parsed(model: type[_Model], text: str) -> _Model:
    """Return the arguments that a model sent, or raise ArgumentsInvalid with all problems."""
    try:
        return model.model_validate_json(text)
    except ValidationError as invalid:
        problems = invalid.errors(include_url=False, include_input=False)
        told = [_explain(p["loc"], p["type"], p["msg"]) for p in problems[:_PROBLEMS_MAX]]
        raise ArgumentsInvalid("; ".join(told)) from None


def schema_of(model: type[BaseModel]) -> Struct:
    """Return the JSON schema of arguments, as models see it."""
    schema = model.model_json_schema(schema_generator=_Plain)
    for name in ("title", "description"):
        schema.pop(name, None)
    return to_struct(schema)


def to_struct(value: dict[str, Any]) -> Struct:
    """Return a JSON object as a message."""
    struct = Struct()
    struct.update(value)
    return struct


class _Plain(GenerateJsonSchema):
    """Leaves out titles and empty defaults: a model pays for each word."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        del schema
        return False

    def default_schema(self, schema: Any) -> dict[str, Any]:
        made = super().default_schema(schema)
        if made.get("default", made) is None:
            del made["default"]
        return made


def _check_schema(schema: dict[str, Any]) -> None:
    """Raise ValueError unless some answer can be checked against it, here and now."""
    text = json.dumps(schema)
    if len(text) > _SCHEMA_BYTES_MAX:
        raise ValueError(f"schema: has {len(text)} bytes, more than {_SCHEMA_BYTES_MAX}")
    try:
        # As whoever answers is checked: without the network, and with patterns that match quickly.
        jsonschema_rs.validator_for(
            schema, offline=True, pattern_options=jsonschema_rs.RegexOptions()
        )
    except ValueError as problem:
        words = str(problem).partition("\n")[0][:_WORDS_MAX]
        raise ValueError(f"schema: no answer can be checked against it: {words}") from None


def _explain(path: tuple[int | str, ...], kind: str, message: str) -> str:
    field = ".".join(map(str, path))
    if kind == "missing":
        return f"{field}: is required"
    if kind == "extra_forbidden":
        return f"{field}: there is no such argument"
    words = message.removeprefix("Value error, ")
    return f"{field}: {words}" if field else words
