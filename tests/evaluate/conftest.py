"""What the tests of evaluation share."""

from collections.abc import Callable
from typing import Any

import pytest

from petcast.evaluate.records import LesionRow


@pytest.fixture(autouse=True)
def _no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test touches the user's own key."""
    monkeypatch.setenv("PETCAST_SALT", "tests")


@pytest.fixture
def lesion_row() -> Callable[..., LesionRow]:
    """Makes a lesion's row; `truth` and `prediction` are SUVmax, SUVpeak and SUVmean at once."""

    def make(truth: float = 8.0, prediction: float = 6.0, **others: Any) -> LesionRow:
        values: dict[str, Any] = {
            "name": "model", "patient": "a", "lesion": 1, "source": "mask", "slice": 0,
            "volume_ml": 2.0, "hot": True, "clipped": False, "found": True,
        }  # fmt: skip
        for side, suv in (("truth", truth), ("prediction", prediction)):
            values |= {f"{side}_suv_{kind}": suv for kind in ("max", "peak", "mean")}
            values |= {f"{side}_background_suv": 1.0, f"{side}_tbr": suv}
            values |= {f"{side}_mtv_ml": 2.0, f"{side}_tlg_g": 2.0 * suv}
        return LesionRow(**(values | others))

    return make
