"""Every knob there is, section by section.

What the paper states is the default; what it leaves open is chosen here, and says so.
"""

from typing import Annotated, Literal, Self, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

GeneratorName = Literal[
    "Stage01", "Stage02", "Stage03", "Stage04", "Stage05", "Stage06", "Stage07", "Stage08",
    "Stage09", "Stage10", "U-Net", "Cas-UNet", "DSGGAN",
]  # fmt: skip
GENERATOR_NAMES: tuple[GeneratorName, ...] = get_args(GeneratorName)

Window = tuple[float, float]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
LARGEST = 2**31 - 1
"""Of what is counted: more is a slip of the finger, and past 2**63 Python counts it no more."""
Count = Annotated[int, Field(ge=1, le=LARGEST)]
CountFromZero = Annotated[int, Field(ge=0, le=LARGEST)]


class Knobs(BaseModel):
    """A section of a recipe: frozen, closed to unknown keys, and to infinity and NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _truth_is_no_number(cls, value: object, of: ValidationInfo) -> object:
        """Not 1 for true: `loss.adversarial = true` would weigh a hundred times its default."""
        switch = cls.model_fields[str(of.field_name)].annotation is bool
        if isinstance(value, bool) and not switch:
            raise ValueError(f"{str(value).lower()} is for switches; give this knob's own value")
        return value


class PreparationRecipe(Knobs):
    """How studies become pairs (docs/prepare.md).

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
    seed: Seed = 0
    stratify: bool = True
    folds: CountFromZero = 0
    fold: CountFromZero = 0
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


STUDY_KNOBS = ("size", "spacing_mm", "slices", "margin_mm")
"""The knobs of preparation that change a study's arrays; the others only divide patients."""


class ModelRecipe(Knobs):
    """The generator and its windows.

    Attributes:
        name: One of the paper's thirteen generators.
        input: One slice in all three channels, as published; the slice with its neighbours; the
            slice in three windows; or all three slices in all three windows, nine channels.
        output: What the three output channels are: one image, as published (its mean is taken),
            or the 5 %, 50 % and 95 % quantiles of the PET, of which the middle one is the image.
            Quantiles learn from the pinball loss, too, as often as `loss.stages` says.
        upsampling: How a StageNN doubles the size: by transposed convolutions, as published; by
            bilinear interpolation and a convolution; by pixel shuffle.
        ct_in_stages: Later stages of a StageNN see the CT beside the PET before them.
        residual: Later stages of a StageNN add a correction to the PET before them.
        members: Networks that learn side by side, each from weights of its own; the PET is their
            mean. So many times the work and the memory of one.
        dropout: Rate in decoders 1-3 (Table 1).
        initialisation: PyTorch's own, or "normal" as in pix2pix, N(0, 0.02²); of the
            discriminator, too. Not stated in the paper.
        hu_window: HU mapped to 0 and 1; not stated in the paper.
        lung_window: The second window, where `input` asks for windows.
        soft_window: The third one.
        suv_window: SUV mapped to 0 and 1; not stated in the paper.
    """

    name: GeneratorName = "Stage01"
    input: Literal["replicate", "neighbours", "windows", "neighbours-windows"] = "replicate"
    output: Literal["replicate", "quantiles"] = "replicate"
    upsampling: Literal["transposed", "bilinear", "pixel-shuffle"] = "transposed"
    ct_in_stages: bool = False
    residual: bool = False
    members: Annotated[int, Field(ge=1, le=10)] = 1
    dropout: Fraction = 0.5
    initialisation: Literal["torch", "normal"] = "torch"
    hu_window: Window = (-1000.0, 1000.0)
    lung_window: Window = (-1350.0, 150.0)
    soft_window: Window = (-160.0, 240.0)
    suv_window: Window = (0.0, 10.0)

    @property
    def slices(self) -> int:
        """CT slices that one prediction wants."""
        return 3 if self.input.startswith("neighbours") else 1

    @property
    def channels(self) -> int:
        """Channels of the generator's input."""
        return 9 if self.input == "neighbours-windows" else 3

    @model_validator(mode="after")
    def _windows_are_open(self) -> Self:
        for name in ("hu_window", "lung_window", "soft_window", "suv_window"):
            low, high = getattr(self, name)
            if not low < high:
                raise ValueError(f"{name} = [{low}, {high}]: the first must be below the second")
        if self.suv_window[0] < 0:
            raise ValueError(
                f"suv_window = {list(self.suv_window)}: SUV begins at 0, and a window that begins "
                "below is scored on values that no PET has; give [0, …]"
            )
        return self

    @model_validator(mode="after")
    def _members_are_cascades(self) -> Self:
        if self.members > 1 and self.name == "DSGGAN":
            raise ValueError("members: StageNN, U-Net and Cas-UNet know this, not DSGGAN")
        return self

    @model_validator(mode="after")
    def _baselines_are_as_published(self) -> Self:
        if self.name.startswith("Stage"):
            return self
        changed = {
            "upsampling": self.upsampling != "transposed",
            "ct_in_stages": self.ct_in_stages,
            "residual": self.residual,
            "input": self.channels != 3,
        }
        if wrong := [knob for knob, differs in changed.items() if differs]:
            raise ValueError(f"{', '.join(wrong)}: only StageNN knows this, not {self.name}")
        return self


class LossRecipe(Knobs):
    """What the generator minimises, on the [0, 1] scale.

    Attributes:
        mse: Weight of the mean squared error.
        l1: Weight of the mean absolute error.
        charbonnier: Weight of the smoothed absolute error.
        ssim: Weight of 1 − SSIM.
        gradient: Weight of the difference of the gradients' sizes.
        uptake: How much more a voxel at the window's upper end weighs in `mse`, `l1` and
            `charbonnier` than one at its lower end.
        lesions: How much more voxels in lesions weigh there, where pairs have lesion masks.
        adversarial: Weight of the adversarial term; 0 leaves the discriminator out. Not stated
            in the paper.
        adversarial_form: Binary cross-entropy, least squares or hinge. Not stated in the paper.
        stages: Compare only the last stage's output with the PET, as published, or every one's.

    Reference:
        `petcast.losses` has each term's; Lee et al., Deeply-supervised nets, AISTATS 2015, for
        every stage's own.
    """

    mse: NotNegative = 1.0
    l1: NotNegative = 0.0
    charbonnier: NotNegative = 0.0
    ssim: NotNegative = 0.0
    gradient: NotNegative = 0.0
    uptake: NotNegative = 0.0
    lesions: NotNegative = 0.0
    adversarial: NotNegative = 0.01
    adversarial_form: Literal["bce", "least-squares", "hinge"] = "bce"
    stages: Literal["last", "all"] = "last"

    @property
    def terms(self) -> dict[str, float]:
        """The weights of the terms that compare a stage's output with the PET."""
        return {
            name: getattr(self, name) for name in ("mse", "l1", "charbonnier", "ssim", "gradient")
        }


class OptimizerRecipe(Knobs):
    """Adam, for the generator and for the discriminator.

    Attributes:
        name: Adam, as published, or AdamW, whose decay of the weights stands beside the gradient.
        weight_decay: AdamW's.
        learning_rate: The paper's 0.001.
        betas: Decay of Adam's two moments; not stated in the paper, Adam's own defaults.
        schedule: The learning rate stays, as published, or falls along a cosine to 0.
        warmup_epochs: Over so many epochs it rises from 0 first.

    Reference:
        Kingma and Ba, Adam, ICLR 2015; Loshchilov and Hutter, Decoupled weight decay
        regularization, ICLR 2019 (AdamW); `petcast.engine.schedule` has the schedule's.
    """

    name: Literal["adam", "adamw"] = "adam"
    weight_decay: NotNegative = 0.0
    learning_rate: Positive = 0.001
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_epochs: NotNegative = 0.0

    @model_validator(mode="after")
    def _only_adamw_decays(self) -> Self:
        if self.weight_decay and self.name == "adam":
            raise ValueError('weight_decay is AdamW\'s: set name = "adamw"')
        return self


class AugmentationRecipe(Knobs):
    """Random motions of a slice, CT and PET alike, and changes of its HU; the paper mentions none.

    Attributes:
        flip: Share of the slices that are mirrored, left for right.
        rotate_degrees: Turned by up to so much to either side.
        scale: Enlarged or reduced by up to this share.
        shift_mm: Moved by up to so much along x and y.
        bend_mm: Bent: points 64 mm apart are pulled by up to so much along x and y, what lies
            between follows, by up to half as much again. Beyond 16 tissue may fold over itself.
        hu_scale: HU above air stretched or shrunk by up to this share: another tube voltage.
        hu_shift: All HU raised or lowered by up to so much: another calibration.
        hu_noise: Standard deviation of the noise added to the CT: another dose, in HU. Each slice
            draws its own share of it.
    """

    flip: Annotated[float, Field(ge=0, le=1)] = 0.0
    rotate_degrees: NotNegative = 0.0
    scale: Fraction = 0.0
    shift_mm: NotNegative = 0.0
    bend_mm: NotNegative = 0.0
    hu_scale: Fraction = 0.0
    hu_shift: NotNegative = 0.0
    hu_noise: NotNegative = 0.0

    @property
    def moves(self) -> bool:
        """Whether slices are moved."""
        return bool(self.flip or self.rotate_degrees or self.scale or self.shift_mm or self.bend_mm)

    @property
    def tints(self) -> bool:
        """Whether HU are changed."""
        return bool(self.hu_scale or self.hu_shift or self.hu_noise)


class TrainingRecipe(Knobs):
    """The course of training.

    Attributes:
        epochs: Passes over the training slices; the paper's 200.
        batch_size: Slices a step; not stated in the paper.
        seed: Of initialisation, order and dropout.
        device: "auto" takes a GPU where there is one.
        best: The metric on the validation patients that chooses `best`; where there is no
            validation patient, `best` is the last epoch.
        score_every: Score the validation and test patients after every so many epochs, and after
            the last; `best` is chosen among those.
        ema: Score and keep a moving average of the weights that keeps this share of itself at
            each step; 0 keeps the weights as they are.
        order: All stages together, or one after the other, each for its share of the epochs with
            the earlier ones frozen ("greedy", for stages that begin as the identity).
    """

    epochs: Count = 200
    batch_size: Count = 16
    seed: Seed = 0
    device: str = "auto"
    best: Literal["ssim", "psnr", "mae", "psnr_body"] = "psnr"
    score_every: Count = 1
    ema: Fraction = 0.0
    order: Literal["joint", "greedy"] = "joint"


class PretrainingRecipe(Knobs):
    """Phantoms that the network learns from before it sees a patient; the paper has none.

    The phantoms are those of `petcast phantom`, on the grid of the pairs; model, loss, motions and
    the rest of training are the recipe's own.

    Attributes:
        phantoms: How many; 0 leaves pretraining out.
        epochs: Passes over their slices.
        learning_rate: In place of the optimiser's.
        slice_step_mm: Distance of their slices.
        seed: Of the phantoms; far from the small numbers that tests and demonstrations take, so
            that a network is not tested on phantoms it has learned from.
    """

    phantoms: CountFromZero = 0
    epochs: Count = 4
    learning_rate: Positive = 0.001
    slice_step_mm: Annotated[float, Field(ge=1, le=20)] = 10.0
    seed: Seed = 1_000_000


class EngineRecipe(Knobs):
    """How a step is computed; what it computes changes with the precision alone.

    Attributes:
        precision: Of the networks' arithmetic. With "bfloat16" weights, losses and optimiser
            stay float32; with "float64" they are double, too: slow, to compare machines by.
        rewrites: Use the faster forms of `petcast.engine.rewrites`, equal up to rounding.
        compile: Let torch.compile fuse the generator: some percent faster, a minute later.
        recompute: Run each stage again in the backward pass instead of keeping its features:
            those of a ten-stage cascade take the memory of about one stage's.
        parts: Work on each batch in so many parts, shared among the processes; 0 is one part a
            process. The same number gives the same bits on one process and on as many; a power of
            two, on any number of processes that divides it.
        pairs: All slices on the device, or read ahead from the memory maps; "auto" takes the
            former where they need less than a quarter of its free memory.
        tensorboard: Write the curves for TensorBoard, too (the extra `tensorboard`).
    """

    precision: Literal["float32", "bfloat16", "float64"] = "float32"
    rewrites: bool = True
    compile: bool = False
    recompute: bool = False
    parts: Literal[0, 1, 2, 4, 8, 16] = 0
    pairs: Literal["auto", "resident", "streamed"] = "auto"
    tensorboard: bool = False

    @model_validator(mode="after")
    def _compiled_stages_are_kept(self) -> Self:
        if self.compile and self.recompute:
            raise ValueError(
                "compile = true fuses the stages that recompute = true runs a second time, and "
                "torch cannot do both: leave one of them off"
            )
        return self
