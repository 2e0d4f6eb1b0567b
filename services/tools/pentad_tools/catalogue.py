"""Which tools there are: those built in, and those that installed packages bring."""

from collections.abc import Iterable, Iterator
from importlib.metadata import EntryPoint, entry_points

from pentad_tools import builtin
from pentad_tools.errors import CatalogueInvalid
from pentad_tools.tool import AnyTool, Tool

GROUP = "pentad.tools"
"""The entry-point group of third-party tools."""


class Catalogue:
    """Tools by name, fixed for the life of the service."""

    def __init__(self, tools: Iterable[AnyTool]) -> None:
        self._tools: dict[str, AnyTool] = {}
        problems = []
        for tool in tools:
            first = self._tools.setdefault(tool.name, tool)
            if first is not tool:
                problems.append(
                    f"two tools are named {tool.name!r}: in {_home(first)} and in {_home(tool)}"
                )
        if problems:
            raise CatalogueInvalid(tuple(problems))

    def __iter__(self) -> Iterator[AnyTool]:
        """By name."""
        return iter(sorted(self._tools.values(), key=lambda tool: tool.name))

    def find(self, name: str) -> AnyTool | None:
        """Return the tool of that name."""
        return self._tools.get(name)


def load_catalogue() -> Catalogue:
    """Return all installed tools, or raise CatalogueInvalid with every problem they have."""
    tools: list[AnyTool] = list(builtin.TOOLS)
    problems = []
    for entry in entry_points(group=GROUP):
        try:
            tools.append(_load(entry))
        except Exception as broken:  # noqa: BLE001 - code of others, which may do anything
            problems.append(
                f"entry point {entry.name!r} ({entry.value}): {type(broken).__name__}: {broken}"
            )
    if problems:
        raise CatalogueInvalid(tuple(problems))
    return Catalogue(tools)


def _load(entry: EntryPoint) -> AnyTool:
    loaded = entry.load()
    if not isinstance(loaded, Tool):
        raise TypeError("it names no @tool function")
    return loaded


def _home(tool: AnyTool) -> str:
    return str(tool.function.__module__)
