"""Both transports, for tests of what holds on either."""

import pytest


@pytest.fixture(params=[False, True], ids=["alone", "link"])
def link(request: pytest.FixtureRequest) -> bool:
    """Whether calls go over a link, or each by itself."""
    return bool(request.param)
