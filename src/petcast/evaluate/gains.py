"""What each stage of a cascade adds to the one before it, patient by patient."""

from collections.abc import Iterable
from typing import Any

from petcast.evaluate.comparison import COMPARED, compare
from petcast.evaluate.result import PatientRow


def stage_gains(
    patients: Iterable[PatientRow], model: str, stages: int, *, seed: int
) -> list[dict[str, Any]]:
    """Compare each stage with the one before.

    Args:
        patients: A value a patient, of all stages.
        model: The model's name, which its last stage bears.
        stages: How many there are.
        seed: Of the bootstrap over patients.

    Returns:
        For each stage from the second on, region and metric: `stage`, `region`, `metric`,
        `difference` (it − the one before), `low`, `high`, `n`.
    """
    names = [f"{model} / stage {k}" for k in range(1, stages)] + [model]
    values: dict[tuple[str, str, str], dict[str, float]] = {}
    for row in patients:
        if row.name in names and (row.region, row.metric) in COMPARED:
            by_patient = values.setdefault((row.name, row.region, row.metric), {})
            by_patient[row.patient] = row.value
    gains = []
    for stage in range(2, stages + 1):
        for region, metric in COMPARED:
            mine, theirs = (
                values.get((names[k], region, metric), {}) for k in (stage - 1, stage - 2)
            )
            found = compare(mine, theirs, seed)
            if found is not None:
                gains.append(
                    {
                        "stage": stage, "region": region, "metric": metric,
                        "difference": found.value, "low": found.low, "high": found.high,
                        "n": found.n,
                    }
                )  # fmt: skip
    return gains
