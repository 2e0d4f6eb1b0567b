"""The contracts keep what they promise to their readers."""

import importlib
import importlib.util
import pkgutil
import re
import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions

import pentad
from pentad_chassis.errors import ServiceError

ROOT = Path(__file__).parents[2]
PROTOS = ROOT / "protos"
SERVICES = ("gateway", "orchestrator", "executor", "tools", "state")


def services() -> list[ServiceDescriptor]:
    found: list[ServiceDescriptor] = []
    for module in pkgutil.walk_packages(pentad.__path__, "pentad."):
        if module.name.endswith("_pb2"):
            descriptor = importlib.import_module(module.name).DESCRIPTOR
            found += descriptor.services_by_name.values()
    return found


METHODS: list[MethodDescriptor] = [m for s in services() for m in s.methods]


def comment_of(method: MethodDescriptor) -> str:
    source = (PROTOS / method.containing_service.file.name).read_text()
    service = source.index(f"service {method.containing_service.name} {{")
    rpc = source.index(f"  rpc {method.name}(", service)
    lines = []
    for line in reversed(source[:rpc].rstrip().splitlines()):
        if not line.strip().startswith("//"):
            break
        lines.append(line.strip().removeprefix("//").strip())
    return " ".join(reversed(lines))


def reasons() -> set[str]:
    """Every reason any service can give."""
    for name in SERVICES:
        importlib.import_module(f"pentad_{name}.errors")
    found, queue = set(), [ServiceError]
    while queue:
        cls = queue.pop()
        found.add(cls.reason)
        queue += cls.__subclasses__()
    return found


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.full_name)
def test_every_rpc_states_whether_it_may_be_repeated(method: MethodDescriptor) -> None:
    options = method.GetOptions()

    assert options.HasField("idempotency_level")
    if options.idempotency_level == MethodOptions.IDEMPOTENCY_UNKNOWN:
        assert method.full_name == "pentad.state.v1.EntryService.PutEntry"


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.full_name)
def test_every_rpc_says_what_it_does_and_which_errors_it_gives(method: MethodDescriptor) -> None:
    comment = comment_of(method)
    assert comment.startswith(f"{method.name} ")

    listed = comment.split("Errors: ")[1].rstrip(".")
    if listed.startswith("none"):
        return
    unknown = set(re.split(r",\s*", listed)) - reasons()
    assert not unknown, f"no service has an error with the reason {unknown}"


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.full_name)
def test_every_rpc_has_messages_of_its_own(method: MethodDescriptor) -> None:
    assert method.input_type.name == f"{method.name}Request"
    assert method.output_type.name == f"{method.name}Response"


def test_the_committed_stubs_are_what_the_protos_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    spec = importlib.util.spec_from_file_location("generate", PROTOS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    fresh = tmp_path / "gen"
    fresh.mkdir()
    assert module.generate(fresh) == 0

    wrong = [
        str(f.relative_to(fresh))
        for f in fresh.rglob("*.py*")
        if f.read_text() != (PROTOS / "gen" / f.relative_to(fresh)).read_text()
    ]
    assert wrong == []
