"""The suite runs in two processes (`make test`): what they must agree on."""

import pytest


@pytest.mark.xdist_group("together")
def test_a_group_stays_in_one_process(request: pytest.FixtureRequest) -> None:
    """xdist sorts by the ends of the tests' ids; where it cannot write them, it says nothing."""
    if not request.config.getoption("loadgroup", default=False):
        pytest.skip("one process, or no groups asked for")
    assert request.node.nodeid.endswith("@together")
