"""How a suite is, as `pentad status` shows it."""

import json
import os
import signal
import subprocess
import sys
from functools import partial

import pytest
from harness.suite import ROOT, START_S, Suite, free_port, until, wait_for_line

from pentad.chassis.v1.status_service_pb2 import LEVEL_HEALTHY
from pentad.gateway.v1.system_service_pb2 import GetSystemStatusRequest, GetSystemStatusResponse
from pentad_cli.connection import Client

pytestmark = pytest.mark.system

SERVICES = ["executor", "gateway", "orchestrator", "state", "tools"]


def test_a_suite_in_order_is_healthy_in_each_of_its_services(suite: Suite) -> None:
    done = suite.pentad("status")

    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert [(line[0], line[2], line[4]) for line in lines] == [
        (service, "healthy", "") for service in SERVICES
    ]
    assert len({line[1] for line in lines}) == 5, "each replica has a name of its own"


def test_programs_get_json(suite: Suite) -> None:
    done = suite.pentad("status", "--json")

    found = json.loads(done.stdout)

    assert found["level"] == "LEVEL_HEALTHY"
    assert [s["service"] for s in found["services"]] == SERVICES
    state = found["services"][3]
    assert state["version"]
    assert {c["name"] for c in state["conditions"]} == {
        "calls in hand",
        "store",
        "store memory",
        "store settings",
    }


@pytest.mark.parametrize("suite", ["one"], indirect=True)
def test_watching_repeats_until_it_is_interrupted(suite: Suite) -> None:
    command = subprocess.Popen(
        [sys.executable, "-m", "pentad_cli", "status", "--watch", "--json"],
        env={
            **os.environ,
            "PENTAD_ADDRESS": suite.address,
            "PENTAD_API_KEY_FILE": str(suite.data_dir / "api-key"),
        },
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    for _ in range(2):
        wait_for_line(command, b"LEVEL_HEALTHY", START_S)

    command.send_signal(signal.SIGINT)
    _, complaint = command.communicate(timeout=20.0)

    assert command.returncode == 0, complaint
    assert complaint == b""


@pytest.mark.parametrize("suite", ["one"], indirect=True)
def test_without_a_suite_there_is_no_status(suite: Suite) -> None:
    done = suite.pentad("status", environment={"PENTAD_ADDRESS": f"127.0.0.1:{free_port()}"})

    assert done.returncode == 1
    assert done.stdout == ""
    assert "no suite answers" in done.stderr


@pytest.mark.parametrize("suite", ["one"], indirect=True)
def test_the_doctor_looks_at_every_service(suite: Suite) -> None:
    done = suite.pentad("doctor")

    for service in SERVICES:
        assert f"service {service} " in done.stdout


async def test_the_successor_of_a_service_that_died_is_found_without_help(five: Suite) -> None:
    """Nobody calls the tools service meanwhile, and its callers find it again all the same."""
    async with five.open() as kit:
        await until(partial(is_well, kit.client), what="all are healthy")
        before = names(await look(kit.client))
        (tools,) = five.children("pentad_tools ")
        five.kill9_child(tools)

        async def is_replaced() -> bool:
            found = await look(kit.client)
            return found.level == LEVEL_HEALTHY and names(found)["tools"] != before["tools"]

        await until(is_replaced, what="another tools service, and all healthy")
        after = names(await look(kit.client))

    assert {**after, "tools": ""} == {**before, "tools": ""}, "no other service was restarted"


async def is_well(client: Client) -> bool:
    return (await look(client)).level == LEVEL_HEALTHY


async def look(client: Client) -> GetSystemStatusResponse:
    return await client.system.GetSystemStatus(GetSystemStatusRequest(), timeout=5.0)


def names(found: GetSystemStatusResponse) -> dict[str, str]:
    """Return the only replica of each service."""
    return {status.service: status.instance for status in found.services}
