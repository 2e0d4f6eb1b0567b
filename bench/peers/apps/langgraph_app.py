"""LangGraph behind FastAPI: graphs whose state is kept in Postgres after every step.

`python langgraph_app.py` creates the tables, `uvicorn langgraph_app:app --workers N` serves.
"""
# mypy: disable-error-code="import-not-found, untyped-decorator, misc"

import asyncio
import json
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypedDict

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from openai import AsyncOpenAI
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool
from pydantic import BaseModel

ANSWER = "Your order is on its way."
STEPS = 5
POOL = 10

model = AsyncOpenAI(api_key="none", max_retries=0)


class State(TypedDict, total=False):
    """What a thread holds."""

    question: str
    answer: str


class Question(BaseModel):
    """The body of a request."""

    question: str


class Answer(BaseModel):
    """The body of a response."""

    answer: str


async def agent(_: State) -> State:
    """Answer, as a model would."""
    return {"answer": ANSWER}


async def talker(state: State) -> State:
    """Answer with what a model says, and pass each token on as it comes."""
    write = get_stream_writer()
    answer = ""
    chunks = await model.chat.completions.create(
        model="talker", messages=[{"role": "user", "content": state["question"]}], stream=True
    )
    async for chunk in chunks:
        if token := chunk.choices[0].delta.content:
            write(token)
            answer += token
    return {"answer": answer}


def chain(*nodes: Any) -> StateGraph:
    """Return a graph that performs the nodes in sequence."""
    names = [f"step{number}" for number in range(1, len(nodes) + 1)]
    builder = StateGraph(State)
    for name, node in zip(names, nodes, strict=True):
        builder.add_node(name, node)
    for before, after in zip([START, *names], [*names, END], strict=True):
        builder.add_edge(before, after)
    return builder


def thread() -> dict[str, dict[str, str]]:
    """Return the configuration of a run that stands by itself."""
    return {"configurable": {"thread_id": str(uuid.uuid4())}}


@asynccontextmanager
async def open_saver() -> AsyncIterator[AsyncPostgresSaver]:
    """Keep connections to Postgres, with the settings that the checkpointer asks for."""
    settings = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    async with AsyncConnectionPool(
        os.environ["POSTGRES_URI"], min_size=POOL, max_size=POOL, kwargs=settings
    ) as pool:
        yield AsyncPostgresSaver(pool)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Compile the graphs once, when the worker starts."""
    async with open_saver() as saver:
        app.state.simple = chain(agent).compile(checkpointer=saver)
        app.state.steps = chain(*[agent] * STEPS).compile(checkpointer=saver)
        app.state.stream = chain(talker).compile(checkpointer=saver)
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/simple")
async def simple(body: Question) -> Answer:
    """One agent, one answer."""
    state = await app.state.simple.ainvoke({"question": body.question}, thread())
    return Answer(answer=state["answer"])


@app.post("/steps")
async def steps(body: Question) -> Answer:
    """Five steps in sequence."""
    state = await app.state.steps.ainvoke({"question": body.question}, thread())
    return Answer(answer=state["answer"])


@app.post("/stream")
async def stream(body: Question) -> StreamingResponse:
    """One agent, its tokens as server-sent events."""
    tokens = app.state.stream.astream({"question": body.question}, thread(), stream_mode="custom")

    async def events() -> AsyncIterator[str]:
        async for token in tokens:
            yield f"data: {json.dumps(token)}\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


async def create_tables() -> None:
    """Bring the schema up to date, before anything serves."""
    async with open_saver() as saver:
        await saver.setup()


if __name__ == "__main__":
    asyncio.run(create_tables())
