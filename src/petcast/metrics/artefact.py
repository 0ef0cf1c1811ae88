"""What pixel metrics do not see: a lattice, blur, and noise of another kind.

Each is measured on spectra, and each result carries the spectra that a report draws.
"""

from petcast.metrics.lattice import Lattice, find_lattice
from petcast.metrics.sharpness import Blur, measure_blur
from petcast.metrics.texture import NoiseTexture, compare_noise

__all__ = [
    "Blur", "Lattice", "NoiseTexture", "compare_noise", "find_lattice", "measure_blur",
]  # fmt: skip
