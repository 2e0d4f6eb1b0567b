"""The suite and its peers, all up at the same time."""

import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from bench.load import WrongAnswer
from bench.peers.dbos import open_dbos
from bench.peers.langgraph import open_langgraph
from bench.peers.model_server import open_model_server
from bench.peers.peer import Missing, Peer, Site
from bench.peers.pentad import open_pentad
from bench.peers.restate import open_restate
from bench.processes import ROOT, ProcessDied

OUT = ROOT / "bench" / "out"

_SUITES = {
    "five": partial(open_pentad, processes=True),
    "one": partial(open_pentad, processes=False),
}
PEERS: Mapping[str, Callable[[Site], AbstractAsyncContextManager[Peer]]] = {
    "restate": open_restate,
    "dbos": open_dbos,
    "langgraph": open_langgraph,
}
"""Those that the suite is held against, by their name on the command line."""

_CANNOT_START = (Missing, ProcessDied, WrongAnswer, EOFError, OSError, TimeoutError)


@asynccontextmanager
async def open_peers(names: Collection[str]) -> AsyncIterator[Sequence[Peer]]:
    """Run the suite and the peers of these names while the block runs, the suite's forms first.

    A peer that cannot be started is left out, and standard error says why.
    """
    OUT.mkdir(exist_ok=True)
    async with AsyncExitStack() as stack:
        # On the disk that the checkout is on.
        data = _enterable(stack.enter_context(tempfile.TemporaryDirectory("", "data-", OUT)))
        sockets = _enterable(stack.enter_context(tempfile.TemporaryDirectory("", "peers-")))
        model_url = await stack.enter_async_context(open_model_server(data / "model.log"))

        def site(name: str) -> Site:
            return Site(_folder(data, name), _folder(sockets, name), model_url)

        peers = [
            await stack.enter_async_context(open_suite(site(name)))
            for name, open_suite in _SUITES.items()
        ]
        for name in names:
            try:
                peers.append(await stack.enter_async_context(PEERS[name](site(name))))
            except _CANNOT_START as error:
                sys.stderr.write(f"bench: {name} is left out: {error}\n")
        yield peers


def _enterable(folder: str) -> Path:
    """Let others through to what is theirs in a folder: Postgres runs as a user of its own."""
    path = Path(folder)
    path.chmod(0o711)
    return path


def _folder(parent: Path, name: str) -> Path:
    folder = parent / name
    folder.mkdir(mode=0o700)
    return folder
