"""Evaluate a run of ours on prepared pairs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from petcast.checkpoint import Card, Which, load_synthesizer
from petcast.device import choose_device
from petcast.durable import read_json
from petcast.errors import DataError, GeometryError
from petcast.evaluate.artefacts import Artefacts
from petcast.evaluate.baselines import (
    BLURRED_TRUTH,
    Baselines,
    baselines_of,
    baselines_of_truth,
    blurred_truth,
)
from petcast.evaluate.comparison import compare_rows, describe_power
from petcast.evaluate.findings import beaten_by_trivial, describe_flaws, flaw_of
from petcast.evaluate.fusion import save_fusion
from petcast.evaluate.gains import stage_gains
from petcast.evaluate.intervals import Intervals
from petcast.evaluate.lesions import Lesions, Uptake, lesions_of
from petcast.evaluate.measure import (
    Masks,
    measure_clipping,
    measure_images,
    refuse_not_finite,
    region_masks,
)
from petcast.evaluate.montage import RULE, Montage
from petcast.evaluate.perceptual import Perceptual, Weights
from petcast.evaluate.result import Evaluation, Finding
from petcast.evaluate.statistics import LEVEL, Scores, few_patients, summarise
from petcast.evaluate.store import save_evaluation
from petcast.evaluate.worst import WorstSlices
from petcast.pairs import CARD_FILE, PairedStudy, Pairs
from petcast.predict import predict_slices
from petcast.progress import track

Images = dict[str, Float[np.ndarray, "z y x"]]


def evaluate_run(
    pairs: Path,
    run: Path,
    *,
    part: str = "test",
    which: Which = "best",
    seed: int = 0,
    device: str = "auto",
    weights: Weights | None = None,
) -> Evaluation:
    """Measure a trained model, stage by stage, beside the trivial images.

    Writes RUN/evaluation/ (docs/files.md), all or nothing.

    Args:
        pairs: A folder of pairs.
        run: A training's folder.
        part: Which patients: "test", "validation" or "train".
        which: The run's chosen epoch, or its last.
        seed: Of the bootstrap over patients.
        device: Where to predict; "auto" takes a GPU where there is one.
        weights: Of a network for perceptual metrics; without them there are none.

    Returns:
        The metrics; the model's last stage bears its plain name.

    Raises:
        UsageError: There is no such part, or a folder is not what it should be.
        DataError: The part is empty, or a prediction is not finite.
        GeometryError: The model was trained on another grid.
    """
    store = Pairs.open(pairs)
    studies = _studies_of(store, part)
    synthesizer, card = load_synthesizer(run, which)
    _require_same_grid(store.index, card)
    learned = baselines_of(store.studies("train"))
    model, window = card.recipe.model.name, card.recipe.model.suv_window
    scores, montage, flaws, uptake = Scores(), Montage(studies), [], Uptake(window)
    artefacts, perceptual = Artefacts(), Perceptual(weights, window)
    worst, stages_seen = WorstSlices(), 0
    intervals = Intervals(run, card, synthesizer, choose_device(device))
    for study in track(studies, f"evaluating {model}"):
        suv = predict_slices(synthesizer, study.ct, device=choose_device(device))
        refuse_not_finite(suv, f"study {study.id}, {model}")
        lesions = _lesions(study)
        masks = _masks(study, lesions)
        stages = _stages(suv, model)
        blurred = {BLURRED_TRUTH: blurred_truth(study.pet, study.grid.spacing_mm[::-1])}
        images = stages | _trivial(learned, study, masks) | blurred
        _measure_study(scores, study, images, masks, window)
        for name, values in perceptual.measure(images, study.pet, study.patient).items():
            scores.add(name, study.patient, values)
        _look_at(artefacts, scores, study, stages | blurred, masks)
        scores.add(model, study.patient, measure_clipping(study.pet, masks, window))
        spacing_mm = study.grid.spacing_mm
        uptake.add(study.patient, np.asarray(study.pet), images, masks, lesions, spacing_mm)
        flaws.append((study.id, flaw_of(suv[-1], masks["body"])))
        montage.add(study, suv)
        intervals.add(study, masks, montage.places(study))
        stages_seen = len(suv)
        worst.add(study.id, np.asarray(study.ct), np.asarray(study.pet), suv, masks["body"])
    patients = scores.patients()
    rows, comparisons = summarise(patients, seed=seed), compare_rows(patients, model, seed=seed)
    findings = [
        *describe_flaws(flaws, "studies"),
        *beaten_by_trivial(rows, model),
        *artefacts.findings(rows, model),
        *perceptual.findings(),
        *few_patients(len({study.patient for study in studies})),
        *describe_power(comparisons),
        *uptake.findings(),
        *intervals.findings(),
        *_provenance(store.index, card, run, studies, part),
        *_without_training(learned),
    ]
    about = _about(card, store.index, part, which, seed, learned) | perceptual.about()
    about |= {"worst_slices": worst.rows()} | intervals.about()
    about |= {"stage_gains": stage_gains(patients, model, stages_seen, seed=seed)}
    evaluation = Evaluation(
        tuple(rows),
        tuple(patients),
        tuple(findings),
        window,
        about,
        lesions=tuple(uptake.rows),
        detection=tuple(uptake.detection()),
        agreement=tuple(uptake.agreement()),
        comparisons=tuple(comparisons),
    )

    def more(folder: Path) -> None:
        artefacts.save(folder / "spectra.npz")
        worst.save(folder / "worst.npz")
        intervals.save(folder)
        save_fusion(store, folder / "registration.npz")

    save_evaluation(run / "evaluation", evaluation, montage, more)
    return evaluation


def _studies_of(store: Pairs, part: str) -> list[PairedStudy]:
    studies = store.studies(part)
    if not studies:
        raise DataError(f"the pairs hold no {part} patients; see `split` in pairs.json")
    return studies


def _require_same_grid(index: Mapping[str, Any], card: Card) -> None:
    here = {key: index["preparation"][key] for key in ("size", "spacing_mm")}
    if here != {key: card.grid[key] for key in here}:
        raise GeometryError(
            f"the model was trained on a grid of {card.grid}, these pairs have {here}; prepare "
            "them again with the run's [preparation]"
        )


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


def _measure_study(
    scores: Scores, study: PairedStudy, images: Images, masks: Masks, window: tuple[float, float]
) -> None:
    spacing = study.grid.spacing_mm[::-1]
    measured = measure_images(images, study.pet, masks, window, spacing_mm=spacing)
    for name, values in measured.items():
        scores.add(name, study.patient, values)


def _look_at(
    artefacts: Artefacts, scores: Scores, study: PairedStudy, images: Images, masks: Masks
) -> None:
    spacing = study.grid.spacing_mm[::-1]
    seen = artefacts.measure(images, np.asarray(study.pet), masks["body"], spacing, study.id)
    for name, values in seen.items():
        scores.add(name, study.patient, values)


def _provenance(
    index: Mapping[str, Any], card: Card, run: Path, studies: list[PairedStudy], part: str
) -> list[Finding]:
    """Whether the model may have seen these patients."""
    findings = []
    if index.get("split", {}).get("leaks"):
        detail = (
            "The split shuffled slices: patients of this part were trained on, by slices beside "
            "these. The numbers say nothing about patients never seen."
        )
        findings.append(Finding("LEAKING-SPLIT", detail))
    if part != "test":
        detail = f"These are {part} patients: the model was fitted to them or chosen by them."
        findings.append(Finding("NOT-TEST", detail))
    if card.data_hash != index["hash"]:
        detail = "The model was trained on other pairs than these."
        findings.append(Finding("OTHER-PAIRS", detail))
        seen = _trained_on(run) & {study.patient for study in studies}
        if seen:
            detail = f"{len(seen)} of these patients were trained on: the numbers are worthless."
            findings.append(Finding("TRAINED-ON", detail))
    return findings


def _trained_on(run: Path) -> set[str]:
    path = run / "data.json"
    return set(read_json(path)["parts"]["train"]) if path.is_file() else set()


def _without_training(learned: Baselines | None) -> list[Finding]:
    if learned is not None:
        return []
    detail = (
        "The pairs hold no training patients: `body-constant` has each real PET's own mean body "
        "SUV, and there is no `train-mean`."
    )
    return [Finding("BODY-CONSTANT-FROM-TRUTH", detail)]


def _about(
    card: Card,
    index: Mapping[str, Any],
    part: str,
    which: str,
    seed: int,
    learned: Baselines | None,
) -> dict[str, Any]:
    return {
        "part": part,
        "model": card.recipe.model.name,
        "which": which,
        "epoch": card.epoch,
        "weights": card.sha256,
        "data_hash": index["hash"],
        "interval": {"level": LEVEL, "kind": "expanded percentile bootstrap", "seed": seed},
        "body_constant_suv": learned.body_suv if learned else None,
        "montage": RULE,
    }
