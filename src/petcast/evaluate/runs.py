"""Evaluate a run of ours on prepared pairs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from petcast.catalogue import BLURRED_TRUTH
from petcast.checkpoint import Card, load_synthesizer
from petcast.claim import trained_on
from petcast.dataset import require_finite
from petcast.device import choose_device
from petcast.disk.durable import read_json
from petcast.errors import DataError
from petcast.evaluate.artefacts import Artefacts
from petcast.evaluate.baselines import (
    Baselines,
    baselines_of,
    baselines_of_truth,
    blurred_truth,
)
from petcast.evaluate.comparison import compare_rows, describe_power
from petcast.evaluate.findings import Flaw, beaten_by_trivial, describe_flaws, flaw_of
from petcast.evaluate.fusion import save_fusion
from petcast.evaluate.gains import stage_gains
from petcast.evaluate.intervals import Intervals
from petcast.evaluate.lesions import Lesions, Uptake, lesions_of
from petcast.evaluate.measure import (
    Masks,
    SliceValues,
    measure_clipping,
    measure_images,
    refuse_not_finite,
    region_masks,
)
from petcast.evaluate.montage import RULE, Montage
from petcast.evaluate.perceptual import Perceptual, Weights
from petcast.evaluate.result import Evaluation, Finding
from petcast.evaluate.statistics import LEVEL, SEED, Scores, few_patients, summarise
from petcast.evaluate.store import alone_for, save_evaluation
from petcast.evaluate.worst import WorstSlices
from petcast.pairs import CARD_FILE, PairedStudy, Pairs
from petcast.predict import predict_slices
from petcast.progress import track
from petcast.uncertainty.runs import require_grid

Images = dict[str, Float[np.ndarray, "z y x"]]
Window = tuple[float, float]


def evaluate_run(
    pairs: Path,
    run: Path,
    *,
    part: str = "test",
    device: str = "auto",
    weights: Weights | None = None,
) -> Evaluation:
    """Measure a trained model, stage by stage, beside the trivial images.

    Writes RUN/evaluation/ (docs/files.md), all or nothing.

    Args:
        pairs: A folder of pairs.
        run: A training's folder; its chosen epoch counts.
        part: Which patients: "test", "validation" or "train".
        device: Where to predict; "auto" takes a GPU where there is one.
        weights: Of a network for perceptual metrics; without them there are none.

    Returns:
        The metrics; the model's last stage bears its plain name.

    Raises:
        UsageError: There is no such part, a folder is not what it should be, or another process
            evaluates the run.
        DataError: The part is empty, or a prediction is not finite.
        FormatError: A stored PET holds NaN or infinite values.
        GeometryError: The model was trained on another grid.
    """
    store = Pairs.open(pairs)
    studies = _studies_of(store, part)
    synthesizer, card = load_synthesizer(run)
    require_grid(store, card)
    with alone_for(run / "evaluation"):
        learned = baselines_of(store.studies("train"))
        where = choose_device(device)
        intervals = Intervals(run, card, synthesizer, where, studies)
        gathered = _Gathered.of(card, studies, weights, intervals)
        for study in track(studies, f"evaluating {gathered.model}"):
            require_finite([study])
            suv = predict_slices(synthesizer, study.ct, device=where)
            refuse_not_finite(suv, f"study {study.id}, {gathered.model}")
            _measure_study(gathered, study, suv, learned)
        provenance = [
            *_provenance(store.index, card, run, studies, part),
            *_without_training(learned),
        ]
        evaluation = _concluded(gathered, _about(card, store.index, part, learned), provenance)

        def more(folder: Path) -> None:
            gathered.artefacts.save(folder / "spectra.npz")
            gathered.worst.save(folder / "worst.npz")
            intervals.save(folder)
            save_fusion(store, folder / "registration.npz")

        save_evaluation(run / "evaluation", evaluation, gathered.montage, more)
    return evaluation


@dataclass
class _Gathered:
    """What studies add to while they pass by."""

    model: str
    window: Window
    scores: Scores
    montage: Montage
    uptake: Uptake
    artefacts: Artefacts
    perceptual: Perceptual
    worst: WorstSlices
    intervals: Intervals
    flaws: list[tuple[str, Flaw | None]] = field(default_factory=list)
    patients: set[str] = field(default_factory=set)
    stages: int = 0

    @classmethod
    def of(
        cls,
        card: Card,
        studies: Sequence[PairedStudy],
        weights: Weights | None,
        intervals: Intervals,
    ) -> "_Gathered":
        """Nothing yet, of a run."""
        window = card.recipe.model.suv_window
        return cls(
            card.recipe.model.name, window, Scores(), Montage(studies), Uptake(window),
            Artefacts(), Perceptual(weights, window), WorstSlices(), intervals,
        )  # fmt: skip

    def score(self, study: PairedStudy, values: Mapping[str, SliceValues]) -> None:
        """Add what was measured in images of a study, by their names."""
        for name, own in values.items():
            self.scores.add(name, study.patient, own)


def _measure_study(
    gathered: _Gathered,
    study: PairedStudy,
    suv: Float[np.ndarray, "k z y x"],
    learned: Baselines | None,
) -> None:
    ct, pet, spacing_mm = np.asarray(study.ct), np.asarray(study.pet), study.grid.spacing_mm
    zyx_mm = spacing_mm[::-1]
    lesions = _lesions(study)
    masks = _masks(study, lesions)
    stages = _stages(suv, gathered.model)
    blurred = {BLURRED_TRUTH: blurred_truth(study.pet, zyx_mm)}
    images = stages | _trivial(learned, study, masks) | blurred
    window, body = gathered.window, masks["body"]
    gathered.score(study, measure_images(images, study.pet, masks, window, spacing_mm=zyx_mm))
    gathered.score(study, gathered.perceptual.measure(images, study.pet, study.id, study.patient))
    gathered.score(study, gathered.artefacts.measure(stages | blurred, pet, body, zyx_mm, study.id))
    gathered.score(study, {gathered.model: measure_clipping(study.pet, masks, window)})
    gathered.uptake.add(study.patient, pet, images, masks, lesions, spacing_mm)
    gathered.flaws.append((study.id, flaw_of(suv[-1], body)))
    gathered.montage.add(study, suv)
    gathered.intervals.add(study, masks, gathered.montage.places(study))
    gathered.worst.add(study.id, ct, pet, suv, body)
    gathered.patients.add(study.patient)
    gathered.stages = len(suv)


def _concluded(
    gathered: _Gathered, about: Mapping[str, Any], provenance: Sequence[Finding]
) -> Evaluation:
    """Means, intervals, comparisons and warnings of all studies."""
    model, patients = gathered.model, gathered.scores.patients()
    rows, comparisons = summarise(patients, seed=SEED), compare_rows(patients, model, seed=SEED)
    findings = [
        *describe_flaws(gathered.flaws, "study", "studies"),
        *beaten_by_trivial(rows, model),
        *gathered.artefacts.findings(rows, model),
        *gathered.perceptual.findings(),
        *few_patients(len(gathered.patients)),
        *describe_power(comparisons),
        *gathered.uptake.findings(),
        *gathered.intervals.findings(),
        *provenance,
    ]
    return Evaluation(
        tuple(rows),
        tuple(patients),
        tuple(findings),
        gathered.window,
        {
            **about,
            **gathered.perceptual.about(),
            "worst_slices": gathered.worst.rows(),
            **gathered.intervals.about(),
            "stage_gains": stage_gains(patients, model, gathered.stages, seed=SEED),
        },
        lesions=tuple(gathered.uptake.rows),
        detection=tuple(gathered.uptake.detection()),
        agreement=tuple(gathered.uptake.agreement()),
        comparisons=tuple(comparisons),
    )


def _studies_of(store: Pairs, part: str) -> list[PairedStudy]:
    studies = store.studies(part)
    if not studies:
        raise DataError(f"the pairs hold no {part} patients; see `split` in pairs.json")
    return studies


def _lesions(study: PairedStudy) -> Lesions:
    body = np.asarray(study.regions) > 0
    boxes = read_json(study.folder / CARD_FILE).get("boxes", {}).get("lesions")
    return lesions_of(np.asarray(study.pet), body, study.grid, mask=study.lesions, boxes=boxes)


def _masks(study: PairedStudy, lesions: Lesions) -> Masks:
    masks = region_masks(np.asarray(study.regions), np.asarray(study.ct))
    if lesions.known:
        masks["lesions"] = lesions.labels > 0
    return masks


def _stages(suv: Float[np.ndarray, "k z y x"], model: str) -> Images:
    """The last stage under the model's name, the earlier ones after it under their own."""
    earlier = {f"{model} / stage {k}": image for k, image in enumerate(suv[:-1], start=1)}
    return {model: suv[-1], **earlier}


def _trivial(learned: Baselines | None, study: PairedStudy, masks: Masks) -> Images:
    baselines = learned or baselines_of_truth(study.pet, masks["body"], f"study {study.id}")
    return baselines.images(masks["body"])


def _provenance(
    index: Mapping[str, Any], card: Card, run: Path, studies: list[PairedStudy], part: str
) -> list[Finding]:
    """Whether the model may have seen these patients."""
    findings, learned = [], trained_on(run)
    other = card.data_hash != index["hash"]
    # How other pairs are divided says nothing of whom the model knows, where its run says that.
    own = not (other and learned.patients)
    if own and index.get("split", {}).get("leaks"):
        detail = (
            "The split shuffled slices: patients of this part were trained on, by slices beside "
            "these. The numbers say nothing about patients never seen."
        )
        findings.append(Finding("LEAKING-SPLIT", detail))
    if own and part != "test":
        detail = f"These are {part} patients: the model was fitted to them or chosen by them."
        findings.append(Finding("NOT-TEST", detail))
    if other:
        detail = "The model was trained on other pairs than these."
        findings.append(Finding("OTHER-PAIRS", detail))
        seen = {study.patient for study in studies if learned.knows(study)}
        if seen:
            were = "was" if len(seen) == 1 else "were"
            detail = f"{len(seen)} of these patients {were} trained on: the numbers are worthless."
            findings.append(Finding("TRAINED-ON", detail))
        mark = index.get("key_mark", "")
        if mark and learned.key_mark and mark != learned.key_mark:
            findings.append(Finding("OTHER-KEY", _OTHER_KEY))
    return findings


_OTHER_KEY = (
    "The model's pairs were prepared under another key, where the same patient has another id: one "
    "whom it was trained on is recognised here only by the same study, prepared in the same way."
)


def _without_training(learned: Baselines | None) -> list[Finding]:
    if learned is not None:
        return []
    detail = (
        "The pairs hold no training patients: `body-constant` has each real PET's own mean body "
        "SUV, and there is no `train-mean`."
    )
    return [Finding("BODY-CONSTANT-FROM-TRUTH", detail)]


def _about(
    card: Card, index: Mapping[str, Any], part: str, learned: Baselines | None
) -> dict[str, Any]:
    return {
        "part": part,
        "model": card.recipe.model.name,
        "which": "best",
        "epoch": card.epoch,
        "weights": card.sha256,
        "data_hash": index["hash"],
        "interval": {"level": LEVEL, "kind": "expanded percentile bootstrap", "seed": SEED},
        "body_constant_suv": learned.body_suv if learned else None,
        "montage": RULE,
    }
