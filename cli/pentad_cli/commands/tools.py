"""`pentad tools`: what agents may call."""

from typing import Annotated

import typer

from pentad.gateway.v1.tool_service_pb2 import GetToolRequest, ListToolsRequest
from pentad.state.v1.tool_pb2 import Effect, Tool
from pentad_cli.connection import Client, call
from pentad_cli.output import print_fields, print_json, print_rows
from pentad_cli.words import duration


def list_tools(
    name: Annotated[str, typer.Argument(help="Show this one whole.", show_default=False)] = "",
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON for each.")] = False,
) -> None:
    """List the tools that agents may call, or show one."""

    async def work(client: Client) -> list[Tool]:
        if name:
            return [(await client.tools.GetTool(GetToolRequest(name=name))).tool]
        return list((await client.tools.ListTools(ListToolsRequest())).tools)

    tools = call(work)
    if as_json:
        for tool in tools:
            print_json(tool)
    elif name:
        _show(tools[0])
    else:
        rows = [(t.name, _effect(t), ", ".join(_arguments(t)), _summary(t)) for t in tools]
        print_rows(("NAME", "EFFECT", "ARGUMENTS", "WHAT IT DOES"), rows, "no tools")


def _show(tool: Tool) -> None:
    print_fields(
        [
            ("tool", tool.name),
            ("effect", _effect(tool)),
            ("timeout", duration(tool.timeout.seconds + tool.timeout.nanos / 1e9)),
            ("description", tool.description),
            ("arguments", "\n".join(_arguments(tool))),
        ]
    )


def _effect(tool: Tool) -> str:
    return Effect.Name(tool.effect).removeprefix("EFFECT_").lower()


def _arguments(tool: Tool) -> list[str]:
    """Return the argument names, optional ones with a question mark."""
    schema = tool.input_schema.fields
    required = {v.string_value for v in schema["required"].list_value.values}
    properties = schema["properties"].struct_value.fields
    return [name if name in required else f"{name}?" for name in properties]


def _summary(tool: Tool) -> str:
    return tool.description.partition("\n")[0]
