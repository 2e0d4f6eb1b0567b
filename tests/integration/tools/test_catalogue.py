import pytest
from google.protobuf.json_format import MessageToDict
from integration.tools.conftest import Kit

from pentad.state.v1.tool_pb2 import EFFECT_ONCE
from pentad.tools.v1.tools_service_pb2 import GetToolRequest, ListToolsRequest
from pentad_chassis.errors import NotFound


async def test_tools_of_packages_stand_beside_those_built_in(kit: Kit) -> None:
    tools = (await kit.stub.ListTools(ListToolsRequest())).tools

    names = [tool.name for tool in tools]
    assert names == sorted(names)
    assert {"calculator", "notebook_append", "once_checked"} <= set(names)


async def test_a_tool_is_shown_as_models_see_it(kit: Kit) -> None:
    tool = (await kit.stub.GetTool(GetToolRequest(name="notebook_append"))).tool

    assert tool.effect == EFFECT_ONCE
    assert tool.description.startswith("Append one line")
    assert tool.timeout.ToSeconds() == 15
    assert MessageToDict(tool.input_schema)["required"] == ["notebook", "line"]


async def test_a_missing_tool_is_a_typed_error(kit: Kit) -> None:
    with pytest.raises(NotFound) as caught:
        await kit.stub.GetTool(GetToolRequest(name="none"))

    assert caught.value.reason == "TOOL_NOT_FOUND"
    assert caught.value.metadata == {"tool": "none"}
