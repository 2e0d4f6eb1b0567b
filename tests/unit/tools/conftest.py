from pathlib import Path

import pytest

from pentad_chassis.clock import FakeClock
from pentad_tools.tool import ToolContext


@pytest.fixture
def context(tmp_path: Path) -> ToolContext:
    data = tmp_path / "data"
    data.mkdir()
    return ToolContext(
        tenant="acme",
        idempotency_key="07abc/1.2.0",
        data_dir=data,
        notebook_dir=tmp_path / "notebooks",
        http_allow=(),
        clock=FakeClock(),
    )
