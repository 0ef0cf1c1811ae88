"""Recipes: what is written is read back, what is wrong is named."""

import tomllib
from pathlib import Path

import pytest

from petcast.errors import RecipeError
from petcast.recipe import Recipe, builtin_recipes, load_recipe


@pytest.mark.parametrize("name", builtin_recipes())
def test_every_built_in_recipe_survives_a_round_trip(name: str) -> None:
    recipe = load_recipe(name)
    assert Recipe.from_mapping(tomllib.loads(recipe.to_toml()), name) == recipe


def test_published_says_what_the_paper_says() -> None:
    recipe = load_recipe("published")
    assert recipe.optimizer.learning_rate == 0.001
    assert recipe.training.epochs == 200
    assert recipe.loss.mse > 0
    assert recipe.loss.adversarial > 0


def test_a_setting_overrides_one_knob() -> None:
    recipe = load_recipe("tiny", ["model.name=Stage07", "training.epochs=3"])
    assert (recipe.model.name, recipe.training.epochs) == ("Stage07", 3)


@pytest.mark.parametrize(
    ("setting", "word"),
    [
        ("training.epoch=3", "training.epoch"),
        ("training.epochs=0", "training.epochs"),
        ("model.name=Stage11", "model.name"),
        ("model.suv_window=[5, 1]", "suv_window"),
        ("epochs=3", "table.key=value"),
        ("optimizer.learning_rate=inf", "optimizer.learning_rate"),
        ("optimizer.learning_rate=nan", "optimizer.learning_rate"),
        ("model.hu_window=[-1000, inf]", "model.hu_window"),
        ("augmentation.hu_noise=inf", "augmentation.hu_noise"),
        ("model.suv_window=[-5, -1]", "SUV begins at 0"),
        ("preparation.seed=-1", "preparation.seed"),
        ("training.seed=-1", "training.seed"),
        ("training.seed=9223372036854775808", "training.seed"),
        ("pretraining.seed=9223372036854775808", "pretraining.seed"),
        ("optimizer.weight_decay=0.01", "weight_decay is AdamW's"),
    ],
)
def test_a_wrong_knob_is_named(setting: str, word: str) -> None:
    with pytest.raises(RecipeError, match=word.replace(".", r"\.")):
        load_recipe("tiny", [setting])


@pytest.mark.parametrize(
    ("content", "word"), [(b'model = "x"', "model is no table"), (b"\xff\xfe\x00", "UTF-8")]
)
def test_a_file_that_is_no_recipe_is_said_to_be_none(
    tmp_path: Path, content: bytes, word: str
) -> None:
    path = tmp_path / "r.toml"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match=word):
        load_recipe(path, ["model.name=Stage02"])


def test_a_recipe_may_begin_with_the_mark_that_editors_of_windows_write(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text("\ufeff[training]\nepochs = 3\n", encoding="utf-8")
    assert load_recipe(path).training.epochs == 3


def test_a_built_in_recipe_given_as_a_file_is_told_by_its_name() -> None:
    """Where petcast was installed by pip there is no folder of recipes to point into."""
    with pytest.raises(RecipeError, match="write tiny for petcast's own"):
        load_recipe("elsewhere/tiny.toml")


def test_a_recipe_with_nothing_to_minimise_is_refused() -> None:
    with pytest.raises(RecipeError, match="nothing to minimise"):
        load_recipe("tiny", ["loss.mse=0", "loss.adversarial=0"])


def test_quantiles_may_learn_from_the_pinball_loss_alone() -> None:
    recipe = load_recipe("tiny", ["loss.mse=0", "model.output=quantiles"])
    assert not any((*recipe.loss.terms.values(), recipe.loss.adversarial))


def test_the_pairs_say_how_they_were_prepared() -> None:
    recipe = load_recipe("tiny", ["preparation.size=64", "preparation.spacing_mm=2"])
    prepared = recipe.preparation.model_dump(mode="json") | {"size": 32}
    kept = recipe.prepared_as(prepared, ["preparation.spacing_mm=2", "loss.l1=0.0"])
    assert kept.preparation.size == 32
    assert kept.differences(recipe) == {"preparation.size"}
    assert kept.differences(recipe, preparation=False) == set()
    with pytest.raises(RecipeError, match=r"--set preparation\.size: .* with 32; leave it out"):
        recipe.prepared_as(prepared, ["preparation.size=64"])
    with pytest.raises(RecipeError, match=r"the pairs' index"):
        recipe.prepared_as(prepared | {"size": 3})


@pytest.mark.parametrize("name", ["U-Net", "Cas-UNet", "DSGGAN"])
@pytest.mark.parametrize(
    "setting",
    [
        "upsampling=bilinear", "upsampling=pixel-shuffle", "ct_in_stages=true", "residual=true",
        "input=neighbours-windows",
    ],
)  # fmt: skip
def test_the_papers_other_generators_stay_what_they_are(name: str, setting: str) -> None:
    settings = [f"model.{setting}", f"model.name={name}"]
    with pytest.raises(RecipeError, match=f"{setting.partition('=')[0]}: only StageNN knows this"):
        load_recipe("tiny", settings)


def test_the_largest_seed_is_taken() -> None:
    assert load_recipe("tiny", [f"training.seed={2**63 - 1}"]).training.seed == 2**63 - 1


@pytest.mark.parametrize(
    "knob",
    ["training.epochs", "training.batch_size", "training.score_every", "pretraining.epochs",
     "pretraining.phantoms", "preparation.folds"],
)  # fmt: skip
def test_counts_that_nothing_could_count_are_refused(knob: str) -> None:
    with pytest.raises(RecipeError, match=f"{knob}: .* less than or equal to 2147483647"):
        load_recipe("tiny", [f"{knob}={10**30}"])


def test_compiling_and_recomputing_exclude_each_other() -> None:
    with pytest.raises(RecipeError, match="recompute"):
        load_recipe("tiny", ["engine.compile=true", "engine.recompute=true"])


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("training.epoch=3", "training.epoch: there is no such knob; [training] has epochs, "),
        ("trainings.epochs=3", "trainings: there is no such table; a recipe has preparation, "),
        ("training.epochs=0", "training.epochs: Input should be greater than or equal to 1, not 0"),
        ("model.name=Stage11", "or 'DSGGAN', not 'Stage11'"),
        ("model.suv_window=[5, 1]", "  model: suv_window = [5.0, 1.0]: the first must be below"),
        ("loss.adversarial=true", "loss.adversarial: true is for switches; give this knob's own"),
        ("training.epochs=false", "training.epochs: false is for switches; give this knob's own"),
    ],
)
def test_a_wrong_knob_is_told_from_those_there_are(setting: str, words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("tiny", [setting])
    assert words in str(caught.value)
