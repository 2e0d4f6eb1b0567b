"""The tools service's catalogue, remembered for a moment."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from pentad.state.v1.tool_pb2 import Tool
from pentad.tools.v1.tools_service_pb2 import ListToolsRequest
from pentad_chassis.clock import Clock

if TYPE_CHECKING:
    from pentad.tools.v1.tools_service_pb2_grpc import ToolsServiceAsyncStub


class Catalogue:
    """Tools by name; read anew when it is old, or lacks what is asked for."""

    def __init__(self, tools: "ToolsServiceAsyncStub", max_age_s: float, clock: Clock) -> None:
        self._tools = tools
        self._max_age_s = max_age_s
        self._clock = clock
        self._known: Mapping[str, Tool] = {}
        self._read_at_s = float("-inf")

    async def find(self, names: Iterable[str]) -> Mapping[str, Tool]:
        """Return the tools of those names that exist."""
        wanted = set(names)
        if not wanted:
            return {}
        old = self._clock.monotonic() - self._read_at_s > self._max_age_s
        if old or not wanted <= self._known.keys():
            response = await self._tools.ListTools(ListToolsRequest())
            self._known = {tool.name: tool for tool in response.tools}
            self._read_at_s = self._clock.monotonic()
        return {name: self._known[name] for name in wanted & self._known.keys()}
