"""How gRPC is set up, which it reads from the environment as it is imported."""

import os
import subprocess
import sys

import pytest

SAYS = "import os, pentad_chassis; print(os.environ[{name!r}])"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("GRPC_ENABLE_FORK_SUPPORT", "false"), ("GRPC_EXPERIMENTS", "-event_engine_client")],
    ids=["a fork waits for none of its threads", "calls are carried as they are measured best"],
)
@pytest.mark.parametrize("given", ["", "as given"])
def test_it_is_set_up_unless_somebody_has_said_otherwise(
    name: str, expected: str, given: str
) -> None:
    environment = {key: value for key, value in os.environ.items() if key != name}
    if given:
        environment[name] = given

    done = subprocess.run(
        (sys.executable, "-c", SAYS.format(name=name)),
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert done.stdout.strip().startswith(given or expected)
