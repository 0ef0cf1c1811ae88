"""Lesions of a study, as the real PET and each prediction show them.

A hot lesion is found in a prediction when the prediction shows at least half of its contrast, that
is SUVpeak above the background around it. Neither an all-zero image nor a constant one has any. A
false positive is a hot spot of the prediction, found by the rule for real ones, that stands out
from its surroundings (SUVmax at least 1.5 times the background) and shares no voxel with a real
lesion or with real uptake of that height.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Shaped

from petcast.evaluate.agreement import lesion_agreement, region_agreement
from petcast.evaluate.detection import FalsePositive, detection_rows
from petcast.evaluate.hotspots import (
    FOUND_SUV,
    LEAST_ML,
    Labels,
    connected,
    find_hot_spots,
    lesions_in_boxes,
)
from petcast.evaluate.records import Agreement, DetectionRow, LesionRow
from petcast.evaluate.result import Finding
from petcast.metrics.lesion import (
    LesionSite,
    LesionUptake,
    Spacing,
    lesion_sites,
    measure_lesion,
    mtv_threshold,
)
from petcast.volume import Grid
from petcast.words import count

FOUND_CONTRAST = 0.5
"""Share of a lesion's real contrast from which the prediction has found it."""

Source = Literal["mask", "boxes", "threshold"]
Suv = Shaped[np.ndarray, "z y x"]
Mask = Bool[np.ndarray, "z y x"]


@dataclass(frozen=True)
class Lesions:
    """The lesions of a study.

    Attributes:
        labels: 0 outside, the lesions from 1 on.
        source: What they come from.
    """

    labels: Labels
    source: Source

    @property
    def known(self) -> bool:
        """Whether someone said that these are lesions."""
        return self.source != "threshold" and bool(self.labels.any())


def lesions_of(
    truth: Suv,
    body: Mask,
    grid: Grid,
    *,
    mask: Shaped[np.ndarray, "z y x"] | None = None,
    boxes: Sequence[Mapping[str, Any]] | None = None,
) -> Lesions:
    """Find out where a study's lesions are: its mask, else its boxes, else its hot spots.

    Args:
        truth: The real PET in SUV.
        body: True inside the body.
        grid: Where the voxels lie.
        mask: Not 0 in lesions.
        boxes: Published tumour boxes with `low_mm` and `high_mm`.

    Returns:
        The lesions; connected voxels are one.
    """
    if mask is not None:
        return Lesions(connected(np.asarray(mask) != 0), "mask")
    if boxes:
        return Lesions(lesions_in_boxes(boxes, truth, grid), "boxes")
    return Lesions(find_hot_spots(truth, body, grid.spacing_mm), "threshold")


@dataclass
class Uptake:
    """Gathers lesions and regions' mean SUV while studies pass by.

    Attributes:
        suv_window: SUV mapped to 0 and 1: beyond its end neither image metrics nor training see.
        rows: Of each lesion and name.
        sources: Where each study's lesions come from.
    """

    suv_window: tuple[float, float]
    rows: list[LesionRow] = field(default_factory=list)
    sources: list[tuple[Source, int]] = field(default_factory=list)
    _counted: dict[str, int] = field(default_factory=dict)
    _false: list[FalsePositive] = field(default_factory=list)
    _sums: dict[tuple[str, str, str], Float[np.ndarray, "3"]] = field(default_factory=dict)

    def add(
        self,
        patient: str,
        truth: Suv,
        images: Mapping[str, Suv],
        masks: Mapping[str, Mask],
        lesions: Lesions | None,
        spacing_mm: Spacing,
        first: int = 0,
    ) -> None:
        """Measure a study.

        Args:
            patient: Whose it is; several studies of a patient add up.
            truth: The real PET in SUV.
            images: Predictions and trivial images in SUV, by name.
            masks: Regions; "body" among them.
            lesions: Of the study; None where they are not asked for: then only regions count.
            spacing_mm: Of the voxels along (x, y, z).
            first: The first slice's number within the study.
        """
        self._add_means(patient, truth, images, masks)
        if lesions is None:
            return
        sites = lesion_sites(lesions.labels, spacing_mm, masks["body"])
        before = self._counted.get(patient, 0)
        self._counted[patient] = before + len(sites)
        self.sources.append((lesions.source, len(sites)))
        for number, site in enumerate(sites, start=before + 1):
            place = _Place(patient, number, lesions.source, site, first)
            self.rows += _rows_of(place, truth, images, self.suv_window)
        real = (lesions.labels > 0) | (truth >= FOUND_SUV)
        for name, image in images.items():
            volumes = _false_positives(image, masks["body"], real, spacing_mm)
            self._false += [FalsePositive(name, volume) for volume in volumes]

    def detection(self) -> list[DetectionRow]:
        """How many hot lesions each name shows, by size.

        Returns:
            Rows by name and size; first all sizes together. None where no study's lesions counted.
        """
        if not self.sources:
            return []
        names = dict.fromkeys(name for name, _, _ in self._sums)
        return detection_rows(list(names), self.rows, self._false, len(self._counted))

    def agreement(self) -> list[Agreement]:
        """How far regions and lesions lie from the real ones.

        Returns:
            Bland–Altman of each name: regions' mean SUV, then lesions' SUVmax, SUVpeak, SUVmean.
        """
        means = (
            (name, region, patient, truth / voxels, prediction / voxels)
            for (name, region, patient), (voxels, truth, prediction) in self._sums.items()
        )
        return [*region_agreement(means), *lesion_agreement(self.rows)]

    def findings(self) -> list[Finding]:
        """What must be known of the lesions.

        Returns:
            Warnings: lesions found by threshold, that the window clips, or without background.
        """
        return [*self._of_threshold(), *self._of_window(), *self._of_background()]

    def _of_threshold(self) -> Iterator[Finding]:
        found = [spots for source, spots in self.sources if source == "threshold"]
        if any(found):
            studies = count(len(self.sources), "study", "studies")
            yield Finding(
                "LESIONS-FOUND",
                f"{len(found)} of {studies} came without lesion masks. For them stands what is hot "
                f"on the real PET (connected, SUV {FOUND_SUV:g} and more, at least {LEAST_ML:g} "
                f"mL): {count(sum(found), 'hot spot')}. Heart, brain, kidneys, bladder, bowel and "
                "inflammation are among them.",
            )

    def _of_window(self) -> Iterator[Finding]:
        own = {(row.patient, row.lesion): row.clipped for row in self.rows}
        clipped = sum(own.values())
        if clipped:
            yield Finding(
                "LESIONS-CLIPPED",
                f"{clipped} of {count(len(own), 'lesion')} ({100 * clipped / len(own):.0f} %) "
                f"{'exceeds' if clipped == 1 else 'exceed'} SUV {self.suv_window[1]:g}, the "
                "window's end: image metrics do not see what lies above, and a model trained in "
                "this window learned nothing of it.",
            )

    def _of_background(self) -> Iterator[Finding]:
        alone = {(row.patient, row.lesion): row.truth_background_suv is None for row in self.rows}
        if any(alone.values()):
            yield Finding(
                "LESIONS-ALONE",
                f"{sum(alone.values())} of {count(len(alone), 'lesion')} without background: too "
                "little of the body lies 5 to 15 mm away. Whether such a lesion is hot, and "
                "whether it was found, cannot be said; its uptake is measured.",
            )

    def _add_means(
        self, patient: str, truth: Suv, images: Mapping[str, Suv], masks: Mapping[str, Mask]
    ) -> None:
        real = {region: truth[mask].sum(dtype=np.float64) for region, mask in masks.items()}
        voxels = {region: int(mask.sum()) for region, mask in masks.items()}
        for name, image in images.items():
            for region in (region for region in masks if voxels[region]):
                shown = image[masks[region]].sum(dtype=np.float64)
                before = self._sums.get((name, region, patient), np.zeros(3))
                sums = np.array([voxels[region], real[region], shown])
                self._sums[name, region, patient] = before + sums


@dataclass(frozen=True)
class _Place:
    """A lesion of a patient."""

    patient: str
    number: int
    source: Source
    site: LesionSite
    first: int


def _rows_of(
    place: _Place, truth: Suv, images: Mapping[str, Suv], window: tuple[float, float]
) -> Iterator[LesionRow]:
    threshold = mtv_threshold(truth, place.site)
    real = measure_lesion(truth, place.site, threshold)
    contrast = real.contrast_suv or 0.0
    hot = threshold is not None and contrast > 0
    common: dict[str, Any] = {
        "patient": place.patient,
        "lesion": place.number,
        "source": place.source,
        "slice": place.first + _hottest_slice(truth, place.site),
        "volume_ml": place.site.volume_ml,
        "hot": hot,
        "clipped": real.suv_max > window[1],
    }
    for name, image in images.items():
        shown = measure_lesion(image, place.site, threshold)
        found = (shown.contrast_suv or 0.0) >= FOUND_CONTRAST * contrast if hot else None
        values = _both(real, shown)
        yield LesionRow(name=name, found=found, **common, **values)


def _both(real: LesionUptake, shown: LesionUptake) -> dict[str, Any]:
    return {
        f"{side}_{metric}": value
        for side, uptake in (("truth", real), ("prediction", shown))
        for metric, value in asdict(uptake).items()
    }


def _hottest_slice(suv: Suv, site: LesionSite) -> int:
    cut = np.where(site.mask, suv[site.box], -np.inf)
    return int(site.box[0].start) + int(np.unravel_index(cut.argmax(), cut.shape)[0])


def _false_positives(image: Suv, body: Mask, real: Mask, spacing_mm: Spacing) -> Iterator[float]:
    """Volumes in mL of the hot spots that the prediction invents."""
    if image.max() < FOUND_SUV:
        return
    spots = find_hot_spots(image, body, spacing_mm)
    true = np.unique(spots[real & (spots > 0)])
    spots[np.isin(spots, true)] = 0
    for site in lesion_sites(spots, spacing_mm, body):
        if mtv_threshold(image, site) is not None:  # hot; noise makes thousands: no SUVpeak here
            yield site.volume_ml
