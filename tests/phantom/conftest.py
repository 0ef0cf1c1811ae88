"""Small phantom cohorts that the tests of this folder share."""

import pytest

from petcast.phantom import PhantomTruth, write_cohort

TINY = {"ct_size": 48, "pet_size": 48, "slice_step_mm": 20.0}


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> list[PhantomTruth]:
    """Three patients, one in each header style."""
    return write_cohort(tmp_path_factory.mktemp("cohort"), 3, workers=1, **TINY)
