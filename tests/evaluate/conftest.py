"""What the tests of evaluation share."""

import pytest


@pytest.fixture(autouse=True)
def _no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test touches the user's own key."""
    monkeypatch.setenv("PETCAST_SALT", "tests")
