"""`pentad agent`: apply, list, get, delete."""

from pathlib import Path
from typing import Annotated

import typer
import yaml

from pentad.gateway.v1.agent_service_pb2 import (
    CreateAgentRequest,
    DeleteAgentRequest,
    GetAgentRequest,
    ListAgentsRequest,
    UpdateAgentRequest,
)
from pentad.state.v1.agent_pb2 import Agent
from pentad_chassis.errors import AlreadyExists, NotFound, ServiceError
from pentad_cli.connection import Client, call
from pentad_cli.documents import Document, read_documents, to_message
from pentad_cli.failure import CommandFailed
from pentad_cli.output import as_plain, print_json, print_rows, print_text
from pentad_cli.words import local_time

app = typer.Typer(help="Agents: apply, list, get, delete.", no_args_is_help=True)

_PAGE = 500
_SERVER_FIELDS = ("revision", "create_time", "update_time")

Name = Annotated[str, typer.Argument(help="Name of the agent.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="One line of JSON for each.")]


@app.command("apply")
def apply(
    file: Annotated[
        Path,
        typer.Option("-f", "--file", help="YAML with one agent or more; `-` for standard input."),
    ],
) -> None:
    """Create the agents of a file, or update those that exist."""
    # Every document is read before the first is sent: a typing error leaves nothing half applied.
    agents = [(document, to_message(document, Agent())) for document in read_documents(file)]

    async def work(client: Client) -> None:
        for document, agent in agents:
            print_text(await _apply(client, document, agent))

    call(work)


async def _apply(client: Client, document: Document, agent: Agent) -> str:
    try:
        return await _create_or_update(client, agent)
    except ServiceError as error:
        if not error.violations:
            raise
        fields = "; ".join(
            f"{v.field.removeprefix('agent.')}: {v.description}" for v in error.violations
        )
        raise CommandFailed(f"{document.place}: {fields} ({error.reason})") from None


async def _create_or_update(client: Client, agent: Agent) -> str:
    try:
        before = (await client.agents.GetAgent(GetAgentRequest(name=agent.name))).agent
    except NotFound:
        try:
            await client.agents.CreateAgent(CreateAgentRequest(agent=agent))
        except AlreadyExists:
            before = Agent()
        else:
            return f"agent {agent.name} created"
    after = (await client.agents.UpdateAgent(UpdateAgentRequest(agent=agent))).agent
    if after.revision == before.revision:
        return f"agent {agent.name} unchanged, revision {after.revision}"
    return f"agent {agent.name} updated, revision {after.revision}"


@app.command("list")
def list_agents(
    capability: Annotated[str, typer.Option(help="Only agents that have it.")] = "",
    *,
    as_json: Json = False,
) -> None:
    """List agents by name."""

    async def work(client: Client) -> list[Agent]:
        agents: list[Agent] = []
        request = ListAgentsRequest(capability=capability, page_size=_PAGE)
        while True:
            page = await client.agents.ListAgents(request)
            agents += page.agents
            if not page.next_page_token:
                return agents
            request.page_token = page.next_page_token

    agents = call(work)
    if as_json:
        for agent in agents:
            print_json(agent)
        return
    rows = [(a.name, str(a.revision), a.model, ", ".join(a.tools), a.description) for a in agents]
    header = ("NAME", "REVISION", "MODEL", "TOOLS", "DESCRIPTION")
    print_rows(header, rows, "no agents; `pentad agent apply -f FILE.yaml` adds some")


@app.command("get")
def get(
    name: Name,
    revision: Annotated[int, typer.Option(min=0, help="Which one; 0 is the latest.")] = 0,
    *,
    as_json: Json = False,
) -> None:
    """Print an agent as YAML that `apply` takes."""

    async def work(client: Client) -> Agent:
        request = GetAgentRequest(name=name, revision=revision)
        return (await client.agents.GetAgent(request)).agent

    agent = call(work)
    if as_json:
        print_json(agent)
        return
    fields = {k: v for k, v in as_plain(agent).items() if k not in _SERVER_FIELDS}
    print_text(f"# revision {agent.revision}, {local_time(agent.update_time)}")
    print_text(yaml.safe_dump(fields, sort_keys=False, allow_unicode=True).rstrip())


@app.command("delete")
def delete(name: Name) -> None:
    """Forget an agent and its revisions; runs in flight go on unchanged."""

    async def work(client: Client) -> None:
        await client.agents.DeleteAgent(DeleteAgentRequest(name=name))

    call(work)
    print_text(f"agent {name} deleted")
