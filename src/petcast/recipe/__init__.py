"""Recipes: every knob there is.

A recipe is a TOML file. A missing knob takes its default, an unknown one is refused.

    knobs  every knob, table by table
    load   a whole recipe, and how it is read
"""

from petcast.recipe.knobs import (
    GENERATOR_NAMES,
    STUDY_KNOBS,
    AugmentationRecipe,
    EngineRecipe,
    GeneratorName,
    Knobs,
    LossRecipe,
    ModelRecipe,
    OptimizerRecipe,
    PreparationRecipe,
    PretrainingRecipe,
    TrainingRecipe,
    Window,
)
from petcast.recipe.load import Recipe, builtin_recipes, load_recipe

__all__ = [
    "GENERATOR_NAMES",
    "STUDY_KNOBS",
    "AugmentationRecipe",
    "EngineRecipe",
    "GeneratorName",
    "Knobs",
    "LossRecipe",
    "ModelRecipe",
    "OptimizerRecipe",
    "PreparationRecipe",
    "PretrainingRecipe",
    "Recipe",
    "TrainingRecipe",
    "Window",
    "builtin_recipes",
    "load_recipe",
]
