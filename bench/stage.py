"""The systems that are measured, by their name on the command line, all up at the same time."""

import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial

from bench.floor.chain import open_chain
from bench.load import System, WrongAnswer
from bench.model_server import open_model_server
from bench.peers.dbos import open_dbos
from bench.peers.installed import INSTALLED
from bench.peers.langgraph import open_langgraph
from bench.peers.restate import open_restate
from bench.processes import ProcessDied
from bench.site import Missing, Site, claim_ground
from bench.suite import UNLINKED, Perform, open_suite

Open = Callable[[Site, str], AbstractAsyncContextManager[System]]

TITLES: Mapping[str, str] = {
    "unary": "bare chain, unary",
    "coalesced": "bare chain, coalesced",
    "five": "Pentad, five processes",
    "five-linked": "Pentad, five, linked client",
    "five-unlinked": "Pentad, five, no link",
    "one": "Pentad, one process",
    "one-unlinked": "Pentad, one, no link",
    "restate": "Restate",
    "dbos": "DBOS",
    "langgraph": "LangGraph",
}
"""What each is called in tables. All figures are held against the first that is there."""

SUBJECTS = (TITLES["five"], TITLES["five-linked"])
"""Whose standing to all others is told."""

PEERS: Mapping[str, Open] = {
    "restate": open_restate,
    "dbos": open_dbos,
    "langgraph": open_langgraph,
}

_CANNOT_START = (Missing, ProcessDied, WrongAnswer, EOFError, OSError, TimeoutError)


@asynccontextmanager
async def open_systems(names: Sequence[str], perform: Perform) -> AsyncIterator[Sequence[System]]:
    """Run the systems of these names while the block runs.

    A peer that cannot be started is left out, and standard error says why.
    """
    five = partial(open_suite, perform=perform, processes=True)
    one = partial(open_suite, perform=perform, processes=False)
    opens: dict[str, Open] = {
        "unary": partial(open_chain, coalesced=False),
        "coalesced": partial(open_chain, coalesced=True),
        "five": five,
        "five-linked": partial(five, linked=True),
        "five-unlinked": partial(five, variables=UNLINKED),
        "one": one,
        "one-unlinked": partial(one, variables=UNLINKED),
        **PEERS,
    }
    async with AsyncExitStack() as stack:
        ground = stack.enter_context(claim_ground())
        log = ground.data / "model.log"
        model_url = await stack.enter_async_context(open_model_server(log))
        systems = []
        for name in _startable(names):
            opened = opens[name](ground.site(name, model_url), TITLES[name])
            try:
                systems.append(await stack.enter_async_context(opened))
            except _CANNOT_START as error:
                if name not in PEERS:
                    raise
                sys.stderr.write(f"bench: {TITLES[name]} is left out: {error}\n")
        if not systems:
            raise Missing("nothing is left that could be measured")
        yield systems


def _startable(names: Sequence[str]) -> Sequence[str]:
    """Return these names, without those of the peers where none is installed."""
    if INSTALLED.exists() or not PEERS.keys() & set(names):
        return names
    sys.stderr.write("bench: the peers are left out; bench/peers/install installs them\n")
    return [name for name in names if name not in PEERS]
