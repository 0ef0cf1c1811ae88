"""Who is scanned: sex, age, size, and how they lie in the scanner."""

from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class Person:
    """One synthetic patient.

    Attributes:
        sex: "F" or "M".
        age_years: 30 to 85.
        height_m: Body height.
        weight_kg: Body weight.
        arms_up: Raised beside the head, or lying beside the body.
        breath_mm: How far the right dome moves between the ends of a breath.
        ct_phase: Where in the breath the CT was taken: 0 expired, 1 inspired.
    """

    sex: Literal["F", "M"]
    age_years: int
    height_m: float
    weight_kg: float
    arms_up: bool
    breath_mm: float
    ct_phase: float

    @property
    def body_mass_index(self) -> float:
        """Weight by height squared, in kg/m²."""
        return self.weight_kg / self.height_m**2


def draw_person(rng: np.random.Generator) -> Person:
    """Draw one patient.

    Args:
        rng: The patient's stream.

    Returns:
        An adult whose weight fits the height.
    """
    sex: Literal["F", "M"] = "F" if rng.random() < 0.45 else "M"
    height_m = float(np.clip(rng.normal(1.63 if sex == "F" else 1.76, 0.065), 1.45, 1.98))
    index = float(np.clip(np.exp(rng.normal(np.log(25.0), 0.16)), 17.5, 38))
    return Person(
        sex=sex,
        age_years=int(rng.integers(30, 86)),
        height_m=round(height_m, 2),
        weight_kg=round(index * height_m**2, 1),
        arms_up=bool(rng.random() < 0.75),
        breath_mm=float(rng.uniform(7, 16)),
        ct_phase=float(rng.uniform(0.1, 0.6)),
    )
