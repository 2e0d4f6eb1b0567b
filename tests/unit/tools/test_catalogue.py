"""The catalogue as it is loaded from what is installed; nothing is installed for it."""

import asyncio
import re
import tomllib
from pathlib import Path

import pytest

from pentad_chassis.config import ConfigInvalid
from pentad_tools import builtin
from pentad_tools.catalogue import Catalogue, load_catalogue
from pentad_tools.errors import CatalogueInvalid
from pentad_tools.servicer import to_proto
from pentad_tools.tool import NOT_DONE, Done, Effect, ToolContext, tool

DOCS = Path(__file__).parents[3] / "docs" / "tools.md"


class Site:
    """A folder on `sys.path` that looks like site-packages."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._path = path
        monkeypatch.syspath_prepend(path)

    def install(self, module: str, code: str, entries: dict[str, str]) -> None:
        (self._path / f"{module}.py").write_text(code)
        info = self._path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        lines = [f"{name} = {value}" for name, value in entries.items()]
        (info / "entry_points.txt").write_text("\n".join(["[pentad.tools]", *lines, ""]))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    path = tmp_path / "site"
    path.mkdir()
    return Site(path, monkeypatch)


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def test_the_built_in_tools_are_there_by_name() -> None:
    names = [tool.name for tool in load_catalogue()]

    assert names == sorted(tool.name for tool in builtin.TOOLS)
    assert "calculator" in names


def test_every_tool_can_be_shown() -> None:
    for each in load_catalogue():
        shown = to_proto(each)
        assert shown.description
        assert shown.effect
        assert shown.timeout.ToSeconds() > 0
        assert shown.input_schema["type"] == "object"


def test_the_example_of_the_documentation_works(site: Site, context: ToolContext) -> None:
    project = tomllib.loads(block("toml"))["project"]
    site.install("acme_tools", block("python"), project["entry-points"]["pentad.tools"])

    catalogue = load_catalogue()

    status = catalogue.find("order_status")
    voucher = catalogue.find("send_voucher")
    assert status is not None
    assert voucher is not None
    assert status.parameters.schema()["properties"]["order_id"]["description"] == "Such as A-1017"
    assert asyncio.run(status("A-1017")).status == "shipped"
    assert voucher.checker is not None
    assert voucher.checker("Ann", 5, context) is NOT_DONE
    assert voucher("Ann", 5, context) == "sent 5 euro to Ann"
    assert voucher.checker("Ann", 5, context) == Done("sent 5 euro to Ann")


def test_two_tools_of_one_name_refuse_to_start(site: Site) -> None:
    code = (
        "from pentad_tools.tool import Effect, tool\n"
        "@tool(effect=Effect.PURE)\n"
        "def calculator(expression: str) -> str:\n"
        "    '''Compute.'''\n"
        "    return expression\n"
    )
    site.install("rival_tools", code, {"calculator": "rival_tools:calculator"})

    with pytest.raises(CatalogueInvalid) as caught:
        load_catalogue()

    assert isinstance(caught.value, ConfigInvalid)
    assert caught.value.problems == (
        "two tools are named 'calculator': in pentad_tools.builtin.calculator and in rival_tools",
    )


def test_every_broken_entry_point_is_reported_at_once(site: Site) -> None:
    site.install(
        "broken_tools",
        "plain = 3\n",
        {
            "absent": "broken_tools:absent",
            "gone": "no_such_module_of_tools:tool",
            "plain": "broken_tools:plain",
        },
    )

    with pytest.raises(CatalogueInvalid) as caught:
        load_catalogue()

    absent, gone, plain = sorted(caught.value.problems)
    assert absent.startswith("entry point 'absent' (broken_tools:absent): AttributeError")
    assert gone.startswith("entry point 'gone' (no_such_module_of_tools:tool): ModuleNotFound")
    assert plain.endswith("TypeError: it names no @tool function")


def test_the_same_tool_twice_is_one_tool() -> None:
    @tool(effect=Effect.PURE)
    def same() -> None:
        """Do nothing."""

    assert list(Catalogue([same, same])) == [same]
