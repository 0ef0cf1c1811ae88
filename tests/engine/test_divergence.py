"""A number that is none: the recipe is named only where the stored PET is not to blame."""

from pathlib import Path

import numpy as np
import pytest

from petcast.engine.divergence import refuse_divergence
from petcast.errors import FormatError, TrainingError
from petcast.pairs import PairedStudy, study_folder, write_study
from petcast.recipe import LossRecipe, Recipe
from petcast.volume import Grid


def study(tmp_path: Path, suv: float) -> PairedStudy:
    pet = np.ones((2, 4, 4), np.float32)
    pet[1, 2, 3] = suv
    folder, grid = study_folder(tmp_path, "s"), Grid((2, 4, 4), np.eye(4))
    arrays = {"ct": np.zeros(pet.shape), "pet": pet, "regions": np.ones(pet.shape)}
    card = write_study(folder, arrays, grid, {})
    return PairedStudy("s", "p", "test", 2, grid, folder, card["hash"])


def test_a_stored_pet_with_nan_is_not_laid_at_the_recipes_door(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"pet\.npy holds NaN .* `petcast prepare` again"):
        refuse_divergence({"psnr": np.nan}, 1, tmp_path, [study(tmp_path, np.nan)], Recipe())


def test_with_sound_pet_it_is_the_recipe(tmp_path: Path) -> None:
    sound = [study(tmp_path, 3.0)]
    refuse_divergence({"psnr": 30.0}, 1, tmp_path, sound, Recipe())
    with pytest.raises(TrainingError, match=r"epoch 4: mse became .* on the test part\. Try"):
        refuse_divergence(
            {"l1": 1.0, "mse": np.inf}, 4, tmp_path, sound, Recipe(), " on the test part"
        )


@pytest.mark.parametrize(
    ("adversarial", "said"),
    [(0.01, r"learning_rate or loss\.adversarial$"), (0.0, "learning_rate$")],
)
def test_no_knob_is_to_be_smaller_that_is_0(tmp_path: Path, adversarial: float, said: str) -> None:
    recipe = Recipe(loss=LossRecipe(adversarial=adversarial))
    with pytest.raises(TrainingError, match=said):
        refuse_divergence({"loss": np.nan}, 1, tmp_path, (), recipe)
