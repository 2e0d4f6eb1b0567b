"""The pages on the hop say what the code does, and their links lead somewhere."""

import importlib
import re
from collections import Counter
from pathlib import Path

import pytest

from pentad.gateway.v1 import run_service_pb2
from pentad_chassis.config import Settings
from pentad_chassis.errors import Code, ServiceError

ROOT = Path(__file__).parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINK = re.compile(r"\]\(([^)#]*)(?:#([^)]*))?\)")
SETTING = re.compile(r"^\| `([A-Z_]+)` \| ([^|]*) \|", re.MULTILINE)
REASON = re.compile(r"^\| `([A-Z_]+)` \| ([A-Z_]+) \|", re.MULTILINE)
SERVICES = ("gateway", "orchestrator", "executor", "tools", "state")
DEFINING = ("pentad_chassis.admission", *(f"pentad_{name}.errors" for name in SERVICES))


def text_of(page: Path) -> str:
    return re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)


def anchors_of(page: Path) -> set[str]:
    """Return the headings of a page as its links name them."""
    titles = re.findall(r"^#+ (.*)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for path, anchor in LINK.findall(text_of(page)):
        if path.startswith("http"):
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), path
        assert not anchor or anchor in anchors_of(target), f"{path}#{anchor}"


@pytest.mark.parametrize("field", sorted(Settings.model_fields))
def test_a_setting_of_every_service_is_documented_once_with_its_default(field: str) -> None:
    pages = [page.read_text("utf-8") for page in ROOT.glob("docs/*.md")]
    rows = [d for page in pages for name, d in SETTING.findall(page) if name == field.upper()]
    default = Settings.model_fields[field].default
    unset = {"address": "loopback", "metrics_address": "nowhere", "shared_address": "nowhere"}
    shown = f"{default:g}" if type(default) is float else str(default).lower()

    assert rows == [unset.get(field, "unset" if default is None else shown)]


def reasons() -> dict[str, set[Code]]:
    """Every reason any service can give, with the codes it comes with."""
    for module in DEFINING:
        importlib.import_module(module)
    found: dict[str, set[Code]] = {}
    queue: list[type[ServiceError]] = [ServiceError]
    while queue:
        cls = queue.pop()
        found.setdefault(cls.reason, set()).add(cls.code)
        queue += cls.__subclasses__()
    return found


def test_reasons_on_the_page_exist_with_their_codes_and_stand_there_once() -> None:
    rows = REASON.findall((ROOT / "docs" / "errors.md").read_text("utf-8"))
    known = reasons()

    assert [reason for reason, count in Counter(r for r, _ in rows).items() if count > 1] == []
    assert [(r, code) for r, code in rows if Code[code] not in known.get(r, set())] == []


def test_every_reason_that_a_public_call_lists_is_on_the_page() -> None:
    folder = ROOT / "protos" / Path(run_service_pb2.DESCRIPTOR.name).parent
    comments = " ".join(path.read_text("utf-8") for path in folder.glob("*.proto"))
    listed = {
        reason
        for errors in re.findall(r"Errors: ([A-Z_,\s/]+)\.", comments)
        for reason in re.findall(r"[A-Z_]+", errors)
    }
    documented = {r for r, _ in REASON.findall((ROOT / "docs" / "errors.md").read_text("utf-8"))}

    assert listed
    assert listed - documented == set()
