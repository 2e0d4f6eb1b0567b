"""DBOS behind FastAPI: workflows whose steps are recorded in Postgres.

`uvicorn dbos_app:app --workers N` serves.
"""
# mypy: disable-error-code="import-not-found, untyped-decorator"

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dbos import DBOS, DBOSConfig
from fastapi import FastAPI
from pydantic import BaseModel

ANSWER = "Your order is on its way."
STEPS = 5

config: DBOSConfig = {
    "name": "peer",
    "system_database_url": os.environ["DBOS_SYSTEM_DATABASE_URL"],
    # Each worker is an executor of its own.
    "executor_id": f"worker-{os.getpid()}",
    "log_level": "WARNING",
}


class Question(BaseModel):
    """The body of a request."""

    question: str


class Answer(BaseModel):
    """The body of a response."""

    answer: str


@DBOS.step()
def agent(_: str) -> str:
    """Answer, as a model would."""
    return ANSWER


@DBOS.workflow()
def answer_at_once(question: str) -> str:
    """One agent, one answer."""
    return str(agent(question))


@DBOS.workflow()
def answer_in_steps(question: str) -> str:
    """Five steps in sequence."""
    return str([agent(question) for _ in range(STEPS)][-1])


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Run DBOS for as long as the worker serves."""
    DBOS(config=config)
    DBOS.launch()
    yield
    DBOS.destroy()


app = FastAPI(lifespan=lifespan)


@app.post("/simple")
def simple(body: Question) -> Answer:
    """Perform the workflow of one step."""
    return Answer(answer=answer_at_once(body.question))


@app.post("/steps")
def steps(body: Question) -> Answer:
    """Perform the workflow of five steps."""
    return Answer(answer=answer_in_steps(body.question))
