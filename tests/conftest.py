"""What all tests share: the real data, where they are at hand."""

from pathlib import Path

import pytest

REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real PET/CT; the test is skipped where it is absent."""
    if not REAL_DATA.is_dir():
        pytest.skip("the real PET/CT are not on this machine")
    return REAL_DATA
