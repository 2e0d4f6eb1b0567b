"""What a system is given to run with."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.processes import ROOT

OUT = ROOT / "bench" / "out"
"""Where everything goes that a benchmark writes; git ignores it."""


class Missing(Exception):
    """A system cannot be started on this machine; the message says what it lacks."""


@dataclass(frozen=True, slots=True)
class Site:
    """The places of one system."""

    data: Path
    """An empty folder of its own, on the disk that is measured."""

    sockets: Path
    """An empty folder of its own whose path is short enough for sockets."""

    model_url: str
    """Of the API of the model that every stream comes from, as OpenAI's clients want it."""

    def log(self, name: str) -> Path:
        """Return where a program's output goes."""
        return self.data.with_name(f"{self.data.name}-{name}.log")


@dataclass(frozen=True, slots=True)
class Ground:
    """Where systems find their places, all on the disk that the checkout is on."""

    data: Path
    sockets: Path

    def site(self, name: str, model_url: str) -> Site:
        """Return the places of one system."""
        return Site(_folder(self.data, name), _folder(self.sockets, name), model_url)


@contextmanager
def claim_ground() -> Iterator[Ground]:
    """Keep room for systems while the block runs."""
    OUT.mkdir(exist_ok=True)
    with ExitStack() as stack:
        data = stack.enter_context(TemporaryDirectory(prefix="data-", dir=OUT))
        sockets = stack.enter_context(TemporaryDirectory(prefix="bench-"))
        yield Ground(_enterable(data), _enterable(sockets))


def _enterable(folder: str) -> Path:
    """Let others through to what is theirs in a folder: Postgres runs as a user of its own."""
    path = Path(folder)
    path.chmod(0o711)
    return path


def _folder(parent: Path, name: str) -> Path:
    folder = parent / name
    folder.mkdir(mode=0o700)
    return folder
