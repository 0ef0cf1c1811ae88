"""Lattice, blur and noise of each image against the real PET: values, warnings, spectra."""

import math
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped
from numpy.typing import NDArray

from petcast.disk.durable import open_whole
from petcast.evaluate.findings import some
from petcast.evaluate.measure import SliceValues
from petcast.evaluate.result import Finding, Row
from petcast.evaluate.threads import in_threads
from petcast.metrics.artefact import (
    Blur,
    Lattice,
    NoiseTexture,
    compare_noise,
    find_lattice,
    measure_blur,
)
from petcast.metrics.volume_similarity import SpacingZYX
from petcast.words import count

BLURRED_MM = 4.0
"""FWHM from which on blur is warned of: a scanner of 6 mm would be one of 7.2 mm."""

INTERPOLATED_MM = 6.4
"""The same where predictions were interpolated: half a voxel off, that alone is a Gaussian of 1.2
voxels, 5 mm of a usual PET, and what is more than 4 mm behind it is the prediction's own."""


@dataclass(frozen=True)
class _Look:
    """What was seen in one image of one case."""

    name: str
    case: str
    blur: Blur
    noise: NoiseTexture
    lattice: Lattice | None
    real: Lattice
    resampled: bool
    cut: bool


class Artefacts:
    """Gathers what the images show while cases pass by."""

    def __init__(self) -> None:
        self._looks: list[_Look] = []

    def measure(
        self,
        images: dict[str, Shaped[np.ndarray, "z y x"]],
        truth: Shaped[np.ndarray, "z y x"],
        body: Bool[np.ndarray, "z y x"],
        spacing_mm: SpacingZYX,
        case: str,
        *,
        resampled: bool = False,
        cut: bool = False,
    ) -> dict[str, SliceValues]:
        """Look at the images of a case.

        Args:
            images: SUV by name.
            truth: The real PET in SUV.
            body: True inside the body; without one there is nothing to see.
            spacing_mm: Of the voxels along z, y and x.
            case: What it is called in warnings.
            resampled: The images were on another grid, which hides a lattice: none is looked for,
                and blur is warned of later.
            cut: The images end inside the body, and the straight edge looks like a lattice and
                hides blur: neither they nor detail are given.

        Returns:
            For each image, in the body: "lattice" (dB), "lattice_strength" (a share of the
            uptake), "blur_mm" and "detail_mm" (FWHM), "noise_texture" (0…1) and "noise_ratio".
        """
        if not body.any():
            return {}
        plane, sought = spacing_mm[1:], [] if resampled or cut else list(images.values())

        def compare(image: NDArray[Any]) -> tuple[Blur, NoiseTexture]:
            return measure_blur(image, truth, body, plane), compare_noise(image, truth, body, plane)

        # All at once: the last of one kind leaves no thread idle while the other kind waits.
        looks: list[Callable[[], Any]] = [
            *(partial(find_lattice, image, body=body) for image in (truth, *sought)),
            *(partial(compare, image) for image in images.values()),
        ]
        real, *others = in_threads(lambda look: look(), looks)
        lattices, compared = others[: len(sought)], others[len(sought) :]
        seen = [
            _Look(name, case, blur, noise, lattice, real, resampled, cut)
            for name, (blur, noise), lattice in zip_longest(images, compared, lattices)
        ]
        self._looks += seen
        return {look.name: _values(look, body) for look in seen}

    def drop(self, names: Container[str]) -> None:
        """Forget cases again.

        Args:
            names: Those whose prediction turned out to be mistaken.
        """
        self._looks = [look for look in self._looks if look.case not in names]

    def findings(self, rows: Iterable[Row], model: str) -> list[Finding]:
        """Put into words what should not be there.

        Args:
            rows: Means over patients.
            model: Its name in them; stages begin with it.

        Returns:
            Warnings.
        """
        names = dict.fromkeys(look.name for look in self._looks if look.name.startswith(model))
        lattices = [self._lattice(name) for name in names]
        own = [look for look in self._looks if look.name == model and not look.cut]
        return [
            *(found for found in lattices if found),
            *_blurred(rows, model, own),
            *self._not_measured(names),
        ]

    def _lattice(self, name: str) -> Finding | None:
        own = [look for look in self._looks if look.name == name and look.lattice]
        spoilt = [(look.case, look.lattice) for look in own if _added(look)]
        strongest = max((lattice for _, lattice in spoilt if lattice), key=_strength, default=None)
        if strongest is None:
            return None
        where = "along both axes" if strongest.axis == "both" else f"along {strongest.axis}"
        detail = (
            f"{name} bears a checkerboard that the real PET does not: a lattice of "
            f"{strongest.period_px} voxels {where}, {100 * strongest.strength:.1f} % of the "
            f"uptake, in {len(spoilt)} of {count(len(own), 'case')} "
            f"({some([case for case, _ in spoilt])}). "
            "Transposed convolutions of stride 2 leave such; bilinear upsampling does not."
        )
        return Finding("LATTICE", detail)

    def _not_measured(self, names: Iterable[str]) -> list[Finding]:
        """Say which cases are missing from a mean that would not show it."""
        missing = []
        for name in names:
            own = [look for look in self._looks if look.name == name]
            numbers = [(look.case, _numbers(look)) for look in own]
            lacking: dict[tuple[str, ...], list[str]] = {}
            for metric in dict.fromkeys(metric for _, each in numbers for metric in each):
                cases = [c for c, each in numbers if not math.isfinite(each.get(metric, math.nan))]
                if 0 < len(cases) < len(own):  # where all lack it, there is no mean to misread
                    lacking.setdefault(tuple(cases), []).append(metric)
            missing += [
                f"{' and '.join(metrics)} of {name} in {len(cases)} of {len(own)} ({some(cases)})"
                for cases, metrics in lacking.items()
            ]
        if not missing:
            return []
        detail = (
            f"Not to be measured, and left out of the means: {'; '.join(missing)}. `n` of a row "
            "says how many patients its mean holds. An image that does not follow the real PET "
            "has no detail, one that ends inside the body has neither lattice nor blur nor detail, "
            "too little uniform tissue shows no noise, and in what was brought from another grid "
            "no lattice is looked for."
        )
        return [Finding("NOT-MEASURED", detail)]

    def save(self, path: Path) -> None:
        """Write spectra.npz (docs/files.md): means over the cases.

        Args:
            path: The file.
        """
        arrays: dict[str, Any] = dict(self.spectra())
        with open_whole(path) as stream:
            np.savez_compressed(stream, **arrays)

    def spectra(self) -> dict[str, NDArray[Any]]:
        """Give the spectra that the report draws.

        Returns:
            Arrays by name, as in spectra.npz; cases on another grid than the first are left out,
            and images that end inside the body.
        """
        whole = [look for look in self._looks if not look.cut]
        kept = [look for look in whole if _shape(look) == _shape(whole[0])]
        names = list(dict.fromkeys(look.name for look in kept))
        if not names:
            return {"name": np.array([], dtype=str)}
        by_name = [[look for look in kept if look.name == name] for name in names]
        first, reals = by_name[0][0], by_name[0]
        return {
            "name": np.array(names),
            "frequency_per_mm": first.blur.frequency_per_mm,
            "power_real": _mean([look.blur.truth for look in reals]),
            "power": np.stack([_mean([look.blur.prediction for look in own]) for own in by_name]),
            "transfer": np.stack([_mean([look.blur.transfer for look in own]) for own in by_name]),
            "noise_frequency_per_mm": first.noise.frequency_per_mm,
            "noise_real": _mean([look.noise.truth for look in reals]),
            "noise": np.stack([_mean([look.noise.prediction for look in own]) for own in by_name]),
            **_lattice_spectra(by_name),
        }


def _lattice_spectra(by_name: Sequence[Sequence[_Look]]) -> dict[str, NDArray[Any]]:
    reals = [look.real for look in by_name[0]]
    found = [[look.lattice for look in own if look.lattice] for own in by_name]
    if not all(found):
        return {}
    return {
        "lattice_frequency_per_px": reals[0].frequency_per_px,
        "lattice_real_x": _mean([one.along_x for one in reals]),
        "lattice_real_y": _mean([one.along_y for one in reals]),
        "lattice_x": np.stack([_mean([one.along_x for one in own]) for own in found]),
        "lattice_y": np.stack([_mean([one.along_y for one in own]) for own in found]),
    }


def _numbers(look: _Look) -> dict[str, float]:
    """What was measured of the volume; NaN where it could not be."""
    numbers = {"noise_texture": look.noise.distance, "noise_ratio": look.noise.ratio}
    if not look.cut:
        numbers |= {"blur_mm": look.blur.fwhm_mm, "detail_mm": look.blur.detail_mm}
    if look.lattice:
        numbers["lattice"] = look.lattice.contrast_db
        numbers["lattice_strength"] = look.lattice.strength
    return numbers


def _values(look: _Look, body: NDArray[np.bool_]) -> SliceValues:
    """One number of the volume, given to every slice with body."""
    there = np.where(body.any(axis=(1, 2)), 1.0, np.nan)
    return {("body", metric): there * number for metric, number in _numbers(look).items()}


def _added(look: _Look) -> bool:
    """Whether the image bears a lattice that it did not take from the real PET."""
    if look.lattice is None or not look.lattice.found:
        return False
    return not (look.real.found and look.lattice.strength <= 2 * look.real.strength)


def _strength(lattice: Lattice) -> float:
    return lattice.strength


def _blurred(rows: Iterable[Row], model: str, own: Sequence[_Look]) -> list[Finding]:
    width = next((row.value for row in rows if (row.name, row.metric) == (model, "blur_mm")), None)
    # As far as cases were interpolated: one among many does not excuse the others' blur.
    share = sum(look.resampled for look in own) / max(len(own), 1)
    if width is None or width < BLURRED_MM + share * (INTERPOLATED_MM - BLURRED_MM):
        return []
    part = ", of which the interpolation to its grid is a part" if share else ""
    detail = (
        f"{model} is as blunt as the real PET would be behind a Gaussian of {width:.1f} mm (FWHM)"
        f"{part}: small lesions lose uptake and edges are soft."
    )
    return [Finding("BLURRED", detail)]


def _shape(look: _Look) -> tuple[int, ...]:
    parts = (look.blur.truth, look.noise.truth, look.real.along_x, look.real.along_y)
    return tuple(len(part) for part in parts)


def _mean(spectra: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
    """The mean over those that were measured; NaN where none was."""
    measured = [one for one in spectra if np.isfinite(one).all()]
    return np.asarray(np.mean(measured or spectra[:1], axis=0), dtype=np.float32)
