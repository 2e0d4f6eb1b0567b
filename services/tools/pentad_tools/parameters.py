"""The parameters of a tool: a JSON schema for models, and a check of what models send."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

import pydantic_core
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema

_PROBLEMS_MAX = 10
_UNSUPPORTED = {
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.VAR_POSITIONAL,
    inspect.Parameter.VAR_KEYWORD,
}


class ToolDefinitionInvalid(TypeError):
    """A tool cannot be made of this function; its author has to change it."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"tool {name!r}: {problem}")


class ArgumentsInvalid(Exception):
    """Arguments break the schema; the message names each field and what would be right."""


class Parameters:
    """What a function takes, but for a parameter of `context_type`, which models never see."""

    def __init__(self, function: Callable[..., object], context_type: type) -> None:
        signature = inspect.signature(function)
        hints = _hints(function)
        fields: dict[str, Any] = {}
        self.context_name: str | None = None
        self.names = list(signature.parameters)
        for name, parameter in signature.parameters.items():
            if parameter.kind in _UNSUPPORTED or name not in hints:
                raise ToolDefinitionInvalid(
                    function.__name__, f"parameter {name!r} needs a type, and to be named in calls"
                )
            if hints[name] is context_type:
                self.context_name = name
            else:
                # Fields have names of their own, so that no parameter shadows a model's attribute.
                fields[f"arg_{name}"] = (hints[name], _field(function, name, parameter.default))
        self._model = _model(function, fields)

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema of the arguments, an object."""
        schema = self._model.model_json_schema(schema_generator=_Untitled)
        schema.pop("title", None)
        return schema

    def parse(self, text: str) -> dict[str, Any]:
        """Return the arguments by name, or raise ArgumentsInvalid with every problem in them."""
        try:
            model = self._model.model_validate_json(text)
        except ValidationError as invalid:
            problems = invalid.errors(include_url=False, include_input=False)
            shown = [self._explain(problem) for problem in problems[:_PROBLEMS_MAX]]
            if len(problems) > _PROBLEMS_MAX:
                shown.append(f"and {len(problems) - _PROBLEMS_MAX} more")
            raise ArgumentsInvalid("; ".join(shown)) from None
        return {name.removeprefix("arg_"): value for name, value in model}

    def _explain(self, problem: pydantic_core.ErrorDetails | Mapping[str, Any]) -> str:
        field = _path(problem["loc"]) or "arguments"
        if problem["type"] == "missing":
            return f"{field}: is required"
        if problem["type"] == "extra_forbidden":
            known = ", ".join(self._arguments()) or "none"
            at_top = len(problem["loc"]) == 1
            return f"{field}: there is no such argument" + (f"; there are: {known}" * at_top)
        return f"{field}: {problem['msg']}"

    def _arguments(self) -> list[str]:
        return [name for name in self.names if name != self.context_name]


class _Untitled(GenerateJsonSchema):
    """Leaves out the titles that pydantic makes of field names: a model pays for each word."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        del schema
        return False


def _hints(function: Callable[..., object]) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except NameError as unknown:
        raise ToolDefinitionInvalid(function.__name__, f"type hints: {unknown}") from None


def _field(function: Callable[..., object], name: str, default: object) -> Any:
    if isinstance(default, FieldInfo):
        raise ToolDefinitionInvalid(
            function.__name__, f"parameter {name!r}: put the Field into Annotated[…]"
        )
    if default is inspect.Parameter.empty:
        return Field(alias=name)
    return Field(default=default, alias=name)


def _model(function: Callable[..., object], fields: dict[str, Any]) -> type[BaseModel]:
    config = ConfigDict(extra="forbid", allow_inf_nan=False)
    try:
        return create_model(function.__name__, __config__=config, **fields)
    except PydanticUserError as wrong:
        problem = str(wrong).partition("\n")[0]
        raise ToolDefinitionInvalid(function.__name__, problem) from None


def _path(location: tuple[int | str, ...]) -> str:
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path
