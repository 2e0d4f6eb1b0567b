"""`pentad workflow`: apply, list, get, delete, validate, run, graph."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
import yaml

from pentad.gateway.v1.run_service_pb2 import GetRunRequest
from pentad.gateway.v1.workflow_service_pb2 import (
    ApplyWorkflowRequest,
    DeleteWorkflowRequest,
    GetWorkflowRequest,
    ListWorkflowsRequest,
    ValidateWorkflowRequest,
)
from pentad.state.v1.run_pb2 import RunSpec
from pentad.state.v1.workflow_pb2 import Workflow, WorkflowSpec
from pentad_chassis.errors import NotFound, ServiceError
from pentad_cli import drawing
from pentad_cli.commands.run import run_and_watch
from pentad_cli.commands.runs import events_so_far
from pentad_cli.connection import Client, call
from pentad_cli.documents import Document, read_documents, to_message
from pentad_cli.failure import CommandFailed
from pentad_cli.nodes import Nodes
from pentad_cli.output import as_plain, print_json, print_rows, print_text
from pentad_cli.words import local_time

app = typer.Typer(
    help="Workflows: apply, list, get, delete, validate, run, graph.", no_args_is_help=True
)

_PAGE = 50
_SUFFIXES = frozenset({".yaml", ".yml", ".json"})


class Format(StrEnum):
    """How a workflow is drawn."""

    TEXT = "text"
    MERMAID = "mermaid"
    DOT = "dot"


Name = Annotated[str, typer.Argument(help="Name of the workflow.", show_default=False)]
Which = Annotated[
    str,
    typer.Argument(
        metavar="NAME|FILE", help="A stored workflow, or a YAML file.", show_default=False
    ),
]
File = Annotated[
    Path, typer.Argument(help="YAML with one workflow or more; `-` for standard input.")
]
Json = Annotated[bool, typer.Option("--json", help="One line of JSON for each.")]


@app.command("apply")
def apply(file: File) -> None:
    """Create the workflows of a file, or change those that exist."""
    # Every document is read before the first is sent: a typing error leaves nothing half applied.
    workflows = [(document, _named(document)) for document in read_documents(file)]

    async def work(client: Client) -> None:
        for document, workflow in workflows:
            print_text(await _apply(client, document, workflow))

    call(work)


async def _apply(client: Client, document: Document, workflow: Workflow) -> str:
    try:
        before = (
            await client.workflows.GetWorkflow(GetWorkflowRequest(name=workflow.name))
        ).workflow.version
    except NotFound:
        before = 0
    except ServiceError as error:
        raise _explained(document, error) from None
    request = ApplyWorkflowRequest(name=workflow.name, spec=workflow.spec)
    try:
        after = (await client.workflows.ApplyWorkflow(request)).workflow
    except ServiceError as error:
        raise _explained(document, error) from None
    done = "created" if not before else "unchanged" if before == after.version else "changed"
    return f"workflow {workflow.name} {done}, version {after.version}"


def _explained(document: Document, error: ServiceError) -> Exception:
    if not error.violations:
        return error
    fields = "; ".join(
        f"{v.field.removeprefix('spec.')}: {v.description}" for v in error.violations
    )
    return CommandFailed(f"{document.place}: {fields} ({error.reason})")


@app.command("validate")
def validate(file: File) -> None:
    """Say all that is wrong with the workflows of a file, what they name included."""
    workflows = [(document, _named(document)) for document in read_documents(file)]

    async def work(client: Client) -> int:
        wrong = 0
        for document, workflow in workflows:
            request = ValidateWorkflowRequest(spec=workflow.spec)
            problems = (await client.workflows.ValidateWorkflow(request)).problems
            wrong += len(problems)
            for problem in problems:
                field = problem.field.removeprefix("spec.")
                print_text(f"{document.place}: {field}: {problem.description}")
        return wrong

    wrong = call(work)
    if wrong:
        raise CommandFailed(f"{wrong} problems" if wrong > 1 else "1 problem")
    print_text("nothing is wrong")


@app.command("list")
def list_workflows(*, as_json: Json = False) -> None:
    """List workflows by name."""

    async def work(client: Client) -> list[Workflow]:
        workflows: list[Workflow] = []
        request = ListWorkflowsRequest(page_size=_PAGE)
        while True:
            page = await client.workflows.ListWorkflows(request)
            workflows += page.workflows
            if not page.next_page_token:
                return workflows
            request.page_token = page.next_page_token

    workflows = call(work)
    if as_json:
        for workflow in workflows:
            print_json(workflow)
        return
    header = ("NAME", "VERSION", "NODES", "CHANGED", "DESCRIPTION")
    rows = [
        (
            w.name,
            str(w.version),
            str(len(w.spec.nodes)),
            local_time(w.update_time),
            w.spec.description,
        )
        for w in workflows
    ]
    print_rows(header, rows, "no workflows; `pentad workflow apply FILE.yaml` adds some")


@app.command("get")
def get(name: Name, *, as_json: Json = False) -> None:
    """Print a workflow as YAML that `apply` takes."""
    workflow = call(lambda client: _get(client, name))
    if as_json:
        print_json(workflow)
        return
    print_text(f"# version {workflow.version}, {local_time(workflow.update_time)}")
    fields = {"name": workflow.name, **as_plain(workflow.spec)}
    print_text(yaml.safe_dump(fields, sort_keys=False, allow_unicode=True).rstrip())


@app.command("delete")
def delete(name: Name) -> None:
    """Forget a workflow; runs in flight go on unchanged."""

    async def work(client: Client) -> None:
        await client.workflows.DeleteWorkflow(DeleteWorkflowRequest(name=name))

    call(work)
    print_text(f"workflow {name} deleted")


@app.command("run")
def run(
    which: Which,
    text: Annotated[
        str, typer.Option("--input", "-i", help="What it works on; JSON or any text.")
    ] = "",
    request_id: Annotated[
        str, typer.Option(help="Names the request: repeated, it returns the same run.")
    ] = "",
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON an event.")] = False,
) -> None:
    """Run a workflow: progress on standard error, the output on standard output."""
    spec = RunSpec(input=text)
    if _is_file(which):
        spec.graph.CopyFrom(_read(Path(which)))
    else:
        spec.workflow_name = which
    run_and_watch(spec, request_id, as_json=as_json)


@app.command("graph")
def graph(
    which: Annotated[
        str,
        typer.Argument(
            metavar="[NAME|FILE]", help="A stored workflow, or a YAML file.", show_default=False
        ),
    ] = "",
    run_id: Annotated[
        str, typer.Option("--run", metavar="RUN", help="As this run has it, and how far it is.")
    ] = "",
    form: Annotated[Format, typer.Option("--format", help="What for.")] = Format.TEXT,
) -> None:
    """Draw a workflow, or one at work."""
    if bool(which) == bool(run_id):
        raise CommandFailed("give either NAME or FILE, or --run RUN", exit_code=2)
    nodes = None
    if run_id:
        spec, nodes = call(lambda client: _at_work(client, run_id))
    elif _is_file(which):
        spec = _read(Path(which))
    else:
        spec = call(lambda client: _get(client, which)).spec
    draw = {
        Format.TEXT: drawing.as_text,
        Format.MERMAID: drawing.as_mermaid,
        Format.DOT: drawing.as_dot,
    }
    for line in draw[form](spec, nodes):
        print_text(line)


async def _at_work(client: Client, run_id: str) -> tuple[WorkflowSpec, Nodes]:
    found = (await client.runs.GetRun(GetRunRequest(run_id=run_id))).run
    events = await events_so_far(client, found)
    if not events or not events[0].run_created.HasField("graph"):
        raise CommandFailed(f"run {run_id} is of no workflow")
    nodes = Nodes()
    for event in events:
        nodes.apply(event)
    return events[0].run_created.graph.spec, nodes


async def _get(client: Client, name: str) -> Workflow:
    return (await client.workflows.GetWorkflow(GetWorkflowRequest(name=name))).workflow


def _is_file(which: str) -> bool:
    return which == "-" or Path(which).suffix in _SUFFIXES or "/" in which


def _read(path: Path) -> WorkflowSpec:
    documents = read_documents(path)
    if len(documents) > 1:
        raise CommandFailed(f"{path} holds {len(documents)} documents; give one", exit_code=2)
    return _workflow(documents[0]).spec


def _named(document: Document) -> Workflow:
    workflow = _workflow(document)
    if not workflow.name:
        raise CommandFailed(f"{document.place}: name: must be set", exit_code=2)
    return workflow


def _workflow(document: Document) -> Workflow:
    """Return a workflow whose fields stand beside its name."""
    fields = dict(document.value)
    name = fields.pop("name", "")
    spec = to_message(Document(document.place, fields), WorkflowSpec())
    return Workflow(name=str(name), spec=spec)
