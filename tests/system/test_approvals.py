"""The agent of docs/approvals.md asks people, who answer with the command as the page says."""

import json

import pytest
from harness.builders import ask
from harness.suite import Kit, Suite, until

from pentad.gateway.v1.approval_service_pb2 import ListApprovalsRequest
from pentad.state.v1.run_pb2 import Run, RunStatus
from pentad_cli.connection import Client

# The command speaks to the gateway alone and cannot tell what stands behind it.
pytestmark = [pytest.mark.system, pytest.mark.parametrize("suite", ["one"], indirect=True)]


async def asked(client: Client, run: Run) -> str:
    """Return the id of what a run asks, once it does."""
    found: list[str] = []

    async def is_asked() -> bool:
        page = await client.approvals.ListApprovals(ListApprovalsRequest(run_id=run.run_id))
        found[:] = [approval.approval_id for approval in page.approvals]
        return bool(found)

    await until(is_asked, 30.0, f"run {run.run_id} asks somebody")
    return found[0]


async def test_much_is_paid_once_somebody_agreed(suite: Suite, kit: Kit) -> None:
    run = await kit.create(ask("cashier", "Pay 1200 to Bob"))
    approval_id = await asked(kit.client, run)

    listed = suite.pentad("approvals", "--run", run.run_id).stdout.split("\t")
    assert listed[:3] == [approval_id, "pending", "notebook_append"]
    shown = suite.pentad("approval", approval_id).stdout
    assert '{"line":"1200 to Bob","notebook":"payments"}' in shown
    assert f"pentad approve {approval_id}" in shown
    (digest,) = (line.split()[1] for line in shown.splitlines() if line.startswith("digest"))
    changed = suite.pentad("approve", approval_id, "--digest", "ab" * 32)
    assert (changed.returncode, "(ARGUMENTS_CHANGED)" in changed.stderr) == (1, True)
    wrong = suite.pentad("approve", approval_id, "--digest", "xyz")
    assert wrong.returncode == 2

    approved = suite.pentad("approve", approval_id, "--comment", "agreed", "--digest", digest)

    assert approved.stdout.startswith(f"approval {approval_id} approved by first at ")
    ended = await kit.wait(run.run_id)
    assert ended.status.output == "Paid 1200 to Bob."
    late = suite.pentad("refuse", approval_id, "--comment", "no")
    assert late.returncode == 1
    assert "was approved by first at " in late.stderr
    assert late.stderr.count("\n") == 1
    decided = json.loads(suite.pentad("approval", approval_id, "--json").stdout)
    assert decided["decision"]["comment"] == "agreed"


async def test_a_refusal_reaches_the_model_with_its_comment(suite: Suite, kit: Kit) -> None:
    run = await kit.create(ask("cashier", "Pay 5000 to Eve"))
    approval_id = await asked(kit.client, run)

    assert suite.pentad("refuse", approval_id, "--comment", "too much").returncode == 0

    ended = await kit.wait(run.run_id)
    assert ended.status.output.startswith("Nothing was paid: TOOL_CALL_REFUSED")
    assert "too much" in ended.status.output


async def test_a_question_is_answered_with_what_its_schema_allows(suite: Suite, kit: Kit) -> None:
    run = await kit.create(ask("cashier", "Pay 50"))
    approval_id = await asked(kit.client, run)

    wrong = suite.pentad("approve", approval_id, "--answer", '{"nam": "Ann"}')
    assert (wrong.returncode, "(ANSWER_INVALID)" in wrong.stderr) == (1, True)
    assert suite.pentad("approve", approval_id, "--answer", "Ann").returncode == 2
    answered = suite.pentad("approve", approval_id, "--answer", '{"name": "Ann"}')

    assert answered.stdout.startswith(f"question {approval_id} answered by first at ")
    ended = await kit.wait(run.run_id)
    assert ended.status.output == "Paid 50 to Ann."


async def test_little_is_paid_unasked(suite: Suite, kit: Kit) -> None:
    run = await kit.create(ask("cashier", "Pay 7 to Bob"))

    ended = await kit.wait(run.run_id)

    assert ended.status.state == RunStatus.STATE_COMPLETED
    assert suite.pentad("approvals", "--state", "all", "--run", run.run_id).stdout == ""
    nonsense = suite.pentad("approvals", "--state", "perhaps")
    assert nonsense.returncode == 2
    unknown = suite.pentad("approve", f"{run.run_id}/nothing")
    assert (unknown.returncode, "(APPROVAL_NOT_FOUND)" in unknown.stderr) == (1, True)
