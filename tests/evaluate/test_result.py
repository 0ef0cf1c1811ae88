"""Whatever an evaluation writes has a record in the catalogue, and no record is of nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from petcast.catalogue import METRICS, REGIONS, TRIVIAL
from petcast.checkpoint import Card
from petcast.evaluate import Evaluation, Weights, evaluate_run, runs
from petcast.metrics.image import MS_SSIM_SIDE
from petcast.pairs import study_folder, write_index, write_study
from petcast.recipe import ModelRecipe, Recipe
from petcast.volume import Grid

SIDE = MS_SSIM_SIDE


def made_up_study(seed: int) -> dict[str, np.ndarray]:
    """A body of noisy uptake with two lungs and a lesion: every region, every metric."""
    shape, dice = (6, SIDE, SIDE), np.random.default_rng(seed)
    regions = np.zeros(shape, np.uint8)
    regions[:, 30:130, 20:140] = 1
    regions[:, 50:100, 35:65] = regions[:, 50:100, 95:125] = 2
    lesion = np.zeros(shape, bool)
    lesion[1:3, 70:78, 76:84] = True
    noise = 0.1 * dice.standard_normal(shape)
    pet = np.where(regions > 0, 3 - regions + noise, 0) + 5 * lesion
    ct = np.where(regions == 2, -800, 40)
    return {"ct": ct, "pet": pet.astype(np.float32), "regions": regions, "lesions": lesion}


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory, weights: Weights) -> Evaluation:
    """Of a run whose network is the real PET, two thirds as hot; with every metric there is."""
    out, rows = tmp_path_factory.mktemp("catalogue"), []
    for seed, part in enumerate(("train", "test", "test")):
        arrays, name = made_up_study(seed), f"study-{seed}"
        grid = Grid(arrays["pet"].shape, np.diag([2.0, 2.0, 3.0, 1.0]))
        card = write_study(study_folder(out / "pairs", name), arrays, grid, {})
        rows.append({"id": name, "patient": f"p{seed}", "part": part, "hash": card["hash"]})
    preparation = {"size": SIDE, "spacing_mm": 2.0}
    index = write_index(out / "pairs", {"preparation": preparation, "studies": rows})
    knobs = Recipe(model=ModelRecipe(name="Stage01"))
    card = Card(recipe=knobs, epoch=1, grid=preparation, data_hash=index["hash"], parameters=1)

    def predict(_model: None, ct: Any, **_: Any) -> np.ndarray:
        return np.load(Path(ct.filename).with_name("pet.npy"))[None] * np.float32(2 / 3)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PETCAST_SALT", "tests")
        patch.setattr(runs, "load_synthesizer", lambda *_: (None, card))
        patch.setattr(runs, "predict_slices", predict)
        return evaluate_run(out / "pairs", out / "run", weights=weights)


@pytest.mark.slow
def test_every_metric_that_an_evaluation_writes_has_a_record(evaluation: Evaluation) -> None:
    assert {row.metric for row in evaluation.rows} == set(METRICS)
    assert {row.region for row in evaluation.rows} == set(REGIONS)
    assert {row.reference for row in evaluation.comparisons} == set(TRIVIAL)
