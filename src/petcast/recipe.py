"""Every knob there is.

A recipe is a TOML file. A missing knob takes its default, an unknown one is refused. What the
paper states is the default; what it leaves open is chosen here, and says so.
"""

import tomllib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from petcast.errors import RecipeError

GeneratorName = Literal[
    "Stage01", "Stage02", "Stage03", "Stage04", "Stage05", "Stage06", "Stage07", "Stage08",
    "Stage09", "Stage10", "U-Net", "Cas-UNet", "DSGGAN",
]  # fmt: skip
GENERATOR_NAMES: tuple[GeneratorName, ...] = get_args(GeneratorName)

Window = tuple[float, float]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]


class Knobs(BaseModel):
    """A section of a recipe: frozen, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PreparationRecipe(Knobs):
    """How studies become pairs (DESIGN: the model grid).

    Attributes:
        size: Voxels along x and y of the model grid.
        spacing_mm: In-plane spacing of the model grid, in mm.
        slices: Keep the slices where the lungs are, or all that CT and PET share.
        margin_mm: Slices this far above and below the lungs are kept too.
        test: Share of the patients kept for testing.
        validation: Share of the patients kept for choosing an epoch.
        seed: Decides which patients go where.
        stratify: Give each part its share of every diagnosis, where diagnoses are known.
        folds: Divide the patients into so many folds, each of which tests once, instead of
            keeping the share `test`; 0 for none.
        fold: Which fold tests, counted from 0.
        split: By patient, or "published": slices shuffled, whosever they are, 400 to train on and
            64 to test on. The latter leaks, and is marked so.
    """

    size: Annotated[int, Field(ge=32, multiple_of=2)] = 256
    spacing_mm: Positive = 2.0
    slices: Literal["lungs", "all"] = "lungs"
    margin_mm: NotNegative = 20.0
    test: Fraction = 0.2
    validation: Fraction = 0.1
    seed: int = 0
    stratify: bool = True
    folds: Annotated[int, Field(ge=0)] = 0
    fold: Annotated[int, Field(ge=0)] = 0
    split: Literal["patient", "published"] = "patient"

    @model_validator(mode="after")
    def _folds_are_possible(self) -> Self:
        if self.folds == 1:
            raise ValueError("folds = 1 would leave nobody to train; give 2 or more, or 0 for none")
        if self.fold and self.fold >= self.folds:
            raise ValueError(f"fold = {self.fold}: it must be below folds = {self.folds}")
        if self.folds and self.split == "published":
            raise ValueError('split = "published" shuffles slices and knows no folds')
        return self


class ModelRecipe(Knobs):
    """The generator and its windows.

    Attributes:
        name: One of the paper's thirteen generators.
        input: One slice in all three channels, as published, or the slice with its neighbours.
        output: What the three output channels are: one image, as published (its mean is taken),
            or the 5 %, 50 % and 95 % quantiles of the PET, of which the middle one is the image.
            Quantiles learn from the pinball loss, too, as often as `loss.stages` says.
        dropout: Rate in decoders 1-3 (Table 1).
        initialisation: PyTorch's own, or "normal" as in pix2pix, N(0, 0.02²); of the
            discriminator, too. Not stated in the paper.
        hu_window: HU mapped to 0 and 1; not stated in the paper.
        suv_window: SUV mapped to 0 and 1; not stated in the paper.
    """

    name: GeneratorName = "Stage01"
    input: Literal["replicate", "neighbours"] = "replicate"
    output: Literal["replicate", "quantiles"] = "replicate"
    dropout: Fraction = 0.5
    initialisation: Literal["torch", "normal"] = "torch"
    hu_window: Window = (-1000.0, 1000.0)
    suv_window: Window = (0.0, 10.0)

    @model_validator(mode="after")
    def _windows_are_open(self) -> Self:
        for name in ("hu_window", "suv_window"):
            low, high = getattr(self, name)
            if not low < high:
                raise ValueError(f"{name} = [{low}, {high}]: the first must be below the second")
        return self


class LossRecipe(Knobs):
    """What the generator minimises, on the [0, 1] scale.

    Attributes:
        mse: Weight of the mean squared error.
        l1: Weight of the mean absolute error.
        adversarial: Weight of the adversarial term; 0 leaves the discriminator out. Not stated
            in the paper.
        adversarial_form: Binary cross-entropy, least squares or hinge. Not stated in the paper.
        stages: Compare only the last stage's output with the PET, as published, or every one's.
    """

    mse: NotNegative = 1.0
    l1: NotNegative = 0.0
    adversarial: NotNegative = 0.01
    adversarial_form: Literal["bce", "least-squares", "hinge"] = "bce"
    stages: Literal["last", "all"] = "last"

    @model_validator(mode="after")
    def _something_to_minimise(self) -> Self:
        if self.mse == self.l1 == self.adversarial == 0:
            raise ValueError("mse, l1 and adversarial are all 0: nothing to minimise")
        return self


class OptimizerRecipe(Knobs):
    """Adam, for the generator and for the discriminator.

    Attributes:
        learning_rate: The paper's 0.001.
        betas: Decay of Adam's two moments; not stated in the paper, Adam's own defaults.
        schedule: The learning rate stays, as published, or falls along a cosine to 0.
        warmup_epochs: Over so many epochs it rises from 0 first.
    """

    learning_rate: Positive = 0.001
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_epochs: NotNegative = 0.0


class AugmentationRecipe(Knobs):
    """Random motions of a slice, CT and PET alike; the paper mentions none.

    Attributes:
        flip: Share of the slices that are mirrored, left for right.
        rotate_degrees: Turned by up to so much to either side.
        scale: Enlarged or reduced by up to this share.
        shift_mm: Moved by up to so much along x and y.
    """

    flip: Annotated[float, Field(ge=0, le=1)] = 0.0
    rotate_degrees: NotNegative = 0.0
    scale: Fraction = 0.0
    shift_mm: NotNegative = 0.0


class TrainingRecipe(Knobs):
    """The course of training.

    Attributes:
        epochs: Passes over the training slices; the paper's 200.
        batch_size: Slices a step; not stated in the paper.
        seed: Of initialisation, order and dropout.
        device: "auto" takes a GPU where there is one.
        best: The metric on the validation patients that chooses `best`; where there is no
            validation patient, `best` is the last epoch.
        ema: Score and keep a moving average of the weights that keeps this share of itself at
            each step; 0 keeps the weights as they are.
    """

    epochs: Annotated[int, Field(ge=1)] = 200
    batch_size: Annotated[int, Field(ge=1)] = 16
    seed: int = 0
    device: str = "auto"
    best: Literal["ssim", "psnr", "mae", "psnr_body"] = "psnr"
    ema: Fraction = 0.0


class EngineRecipe(Knobs):
    """How a step is computed; what it computes changes with the precision alone.

    Attributes:
        precision: Of the networks' arithmetic. With "bfloat16" weights, losses and optimiser
            stay float32; with "float64" they are double, too: slow, to compare machines by.
        rewrites: Use the faster forms of `petcast.engine.rewrites`, equal up to rounding.
        compile: Let torch.compile fuse the generator: some percent faster, a minute later.
        recompute: Run each stage again in the backward pass instead of keeping its features:
            those of a ten-stage cascade take the memory of about one stage's.
        pairs: All slices on the device, or read ahead from the memory maps; "auto" takes the
            former where they need less than a quarter of its free memory.
        tensorboard: Write the curves for TensorBoard, too (the extra `tensorboard`).
    """

    precision: Literal["float32", "bfloat16", "float64"] = "float32"
    rewrites: bool = True
    compile: bool = False
    recompute: bool = False
    pairs: Literal["auto", "resident", "streamed"] = "auto"
    tensorboard: bool = False


class Recipe(Knobs):
    """A whole recipe; each attribute is a table of the TOML file.

    Attributes:
        preparation: How studies become pairs.
        model: The generator and its windows.
        loss: What it minimises.
        optimizer: How.
        augmentation: On which motions of the slices.
        training: For how long.
        engine: How a step is computed.
    """

    preparation: PreparationRecipe = PreparationRecipe()
    model: ModelRecipe = ModelRecipe()
    loss: LossRecipe = LossRecipe()
    optimizer: OptimizerRecipe = OptimizerRecipe()
    augmentation: AugmentationRecipe = AugmentationRecipe()
    training: TrainingRecipe = TrainingRecipe()
    engine: EngineRecipe = EngineRecipe()

    def to_toml(self) -> str:
        """The recipe as TOML, every knob written out.

        Returns:
            Text that `from_toml` reads back to an equal recipe.
        """
        return str(tomli_w.dumps(self.model_dump(mode="json")))

    def differences(self, other: "Recipe") -> set[str]:
        """Name the knobs that another recipe sets otherwise.

        Args:
            other: The other recipe.

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
            lines = [
                f"  {'.'.join(map(str, e['loc'])) or 'recipe'}: {e['msg']}" for e in error.errors()
            ]
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


def _recipe_text(source: str | Path) -> str:
    path = Path(source)
    if path.is_file():
        return path.read_text(encoding="utf-8")
    if str(source) in builtin_recipes():
        return (files("petcast") / "recipes" / f"{source}.toml").read_text(encoding="utf-8")
    raise RecipeError(
        f"{source} is neither a file nor a built-in recipe ({', '.join(builtin_recipes())})"
    )


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
    knobs.setdefault(table, {})[key] = parsed
