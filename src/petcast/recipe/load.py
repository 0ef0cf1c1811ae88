"""A whole recipe, and how it is read."""

import tomllib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import tomli_w
from pydantic import ValidationError, model_validator

from petcast.errors import RecipeError
from petcast.recipe.knobs import (
    AugmentationRecipe,
    EngineRecipe,
    Knobs,
    LossRecipe,
    ModelRecipe,
    OptimizerRecipe,
    PreparationRecipe,
    PretrainingRecipe,
    TrainingRecipe,
)

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


class Recipe(Knobs):
    """A whole recipe; each attribute is a table of the TOML file.

    Attributes:
        preparation: How studies become pairs.
        model: The generator and its windows.
        loss: What it minimises.
        optimizer: How.
        augmentation: On which motions of the slices.
        training: For how long.
        pretraining: On which phantoms first.
        engine: How a step is computed.
    """

    preparation: PreparationRecipe = PreparationRecipe()
    model: ModelRecipe = ModelRecipe()
    loss: LossRecipe = LossRecipe()
    optimizer: OptimizerRecipe = OptimizerRecipe()
    augmentation: AugmentationRecipe = AugmentationRecipe()
    training: TrainingRecipe = TrainingRecipe()
    pretraining: PretrainingRecipe = PretrainingRecipe()
    engine: EngineRecipe = EngineRecipe()

    @model_validator(mode="after")
    def _something_to_minimise(self) -> Self:
        terms = self.loss.terms
        learned = (*terms.values(), self.loss.adversarial, self.model.output == "quantiles")
        if not any(learned):
            raise ValueError(
                f"loss.{', loss.'.join(terms)} and loss.adversarial are all 0: nothing to minimise"
            )
        return self

    @model_validator(mode="after")
    def _greedy_stages_begin_as_identity(self) -> Self:
        if self.training.order == "greedy" and not self.model.residual:
            raise ValueError(
                'training.order = "greedy" needs model.residual = true: stages that are not '
                "trained yet must leave the PET as it is"
            )
        return self

    @model_validator(mode="after")
    def _an_opponent_judges_one(self) -> Self:
        if self.loss.adversarial and self.model.members > 1:
            raise ValueError(
                f"model.members = {self.model.members} needs loss.adversarial = 0: the "
                "discriminator judges one network. Train runs of other seeds for an ensemble of it"
            )
        return self

    def to_toml(self) -> str:
        """The recipe as TOML, every knob written out.

        Returns:
            Text that `load_recipe` reads back to an equal recipe.
        """
        return str(tomli_w.dumps(self.model_dump(mode="json")))

    def prepared_as(self, preparation: Mapping[str, Any], settings: Sequence[str] = ()) -> "Recipe":
        """The recipe with the `[preparation]` of the pairs that it learns from.

        What was prepared is the pairs' to say: a recipe that is kept must not claim another grid
        or split than the one that was learned from.

        Args:
            preparation: Of the pairs' index.
            settings: Overrides that the user gave. Of these, none is passed over in silence.

        Returns:
            The recipe as it is to be kept.

        Raises:
            RecipeError: An override asks for other pairs, or the index holds an impossible knob.
        """
        whole = self.model_dump() | {"preparation": preparation}
        kept = Recipe.from_mapping(whole, "the pairs' index")
        asked = {setting.partition("=")[0].strip() for setting in settings}
        for name in sorted(asked & self.differences(kept)):
            value = getattr(kept.preparation, name.partition(".")[2])
            raise RecipeError(
                f"--set {name}: these pairs were prepared with {value!r}; leave it out, or give it "
                "to petcast prepare and train on what that writes"
            )
        return kept

    def differences(self, other: "Recipe", *, preparation: bool = True) -> set[str]:
        """Name the knobs that another recipe sets otherwise.

        Args:
            other: The other recipe.
            preparation: Look at `[preparation]`, too; not where the pairs are compared themselves.

        Returns:
            Names such as "model.name".

        Example:
            >>> one, other = Recipe(), Recipe(model=ModelRecipe(name="U-Net"))
            >>> one.differences(other)
            {'model.name'}
        """
        mine, theirs = self.model_dump(), other.model_dump()
        return {
            f"{table}.{key}"
            for table, knobs in mine.items()
            if preparation or table != "preparation"
            for key in knobs
            if knobs[key] != theirs[table][key]
        }

    @classmethod
    def from_mapping(cls, knobs: Mapping[str, Any], source: str) -> "Recipe":
        """Check nested knobs and make a recipe of them.

        Args:
            knobs: Tables of knobs, as TOML gives them.
            source: Where they come from, for the error message.

        Returns:
            The recipe.

        Raises:
            RecipeError: A knob is unknown, has a wrong value or contradicts another.
        """
        try:
            return cls.model_validate(knobs)
        except ValidationError as error:
            lines = map(_said, error.errors())
            raise RecipeError(f"{source}:\n" + "\n".join(lines)) from error


def load_recipe(source: str | Path, settings: Sequence[str] = ()) -> Recipe:
    """Read a recipe from a file, or one of petcast's own by name.

    Args:
        source: A TOML file, or the name of a built-in recipe such as "tiny".
        settings: Overrides such as "training.epochs=3", values in TOML's spelling.

    Returns:
        The recipe.

    Raises:
        RecipeError: The file is missing or no TOML, or a knob is wrong.
    """
    text = _recipe_text(source)
    try:
        knobs = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{source} is not TOML: {error}") from error
    for setting in settings:
        _override(knobs, setting)
    return Recipe.from_mapping(knobs, str(source))


def builtin_recipes() -> list[str]:
    """Names of the recipes that come with petcast.

    Returns:
        Sorted names, such as "published" and "tiny".
    """
    folder = files("petcast") / "recipes"
    return sorted(
        f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")
    )


def _said(error: "ErrorDetails") -> str:
    """What is wrong with a knob, what was found, and what there is instead."""
    place, found = error["loc"], error["input"]
    name = ".".join(map(str, place)) or "recipe"
    if error["type"] != "extra_forbidden":
        plain = isinstance(found, bool | int | float | str) and error["type"] != "value_error"
        said = error["msg"].removeprefix("Value error, ")  # pydantic's word for our own refusals
        return f"  {name}: {said}" + (f", not {found!r}" if plain else "")
    if len(place) == 1:
        return f"  {name}: there is no such table; a recipe has {', '.join(Recipe.model_fields)}"
    knobs = type(getattr(Recipe(), str(place[0]))).model_fields
    return f"  {name}: there is no such knob; [{place[0]}] has {', '.join(knobs)}"


def _recipe_text(source: str | Path) -> str:
    path = Path(source)
    if path.is_file():
        try:
            return path.read_text(encoding="utf-8-sig")  # Windows begins with a mark
        except UnicodeDecodeError as error:
            raise RecipeError(f"{source} is no text in UTF-8, as TOML is; save it so") from error
    if str(source) in builtin_recipes():
        return (files("petcast") / "recipes" / f"{source}.toml").read_text(encoding="utf-8")
    own = builtin_recipes()
    meant = f"; write {path.stem} for petcast's own" if path.stem in own else ""
    raise RecipeError(f"{source} is neither a file nor a built-in recipe ({', '.join(own)}){meant}")


def _override(knobs: dict[str, Any], setting: str) -> None:
    """Apply one "table.key=value" to nested knobs, in place."""
    name, equals, value = setting.partition("=")
    table, dot, key = name.strip().partition(".")
    if not (equals and dot and key):
        raise RecipeError(f"--set {setting}: write it as table.key=value")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()  # a bare word is a string: --set model.name=Stage02
    section = knobs.setdefault(table, {})
    if not isinstance(section, dict):
        raise RecipeError(f"--set {setting}: {table} is no table of the recipe; write [{table}]")
    section[key] = parsed
