"""A generator, its opponent and their optimisers: one step of MSE + adversarial training."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from petcast import losses
from petcast.checkpoint import (
    MODEL_FILE,
    TRAINING_FILE,
    Card,
    Tensors,
    load_tensors,
    load_weights,
    optimizer_tensors,
    restore_optimizer,
)
from petcast.dataset import Batch
from petcast.engine.opponent import rewrite_discriminator
from petcast.engine.parallel import ALONE, World, spread
from petcast.engine.parts import Copies, Share, cut, divide, shares
from petcast.engine.possible import require_possible
from petcast.engine.processor import suit_processor
from petcast.engine.recompute import recomputed
from petcast.engine.rewrites import rewrite
from petcast.engine.schedule import MovingAverage, rate_factor, stage_span
from petcast.models import Discriminator, Synthesizer
from petcast.models.describe import count_parameters
from petcast.models.initialise import initialise
from petcast.recipe import Recipe

RAW, JUDGE, AVERAGE = "raw/", "discriminator/", "average.steps"
ALWAYS = ("mse", "l1")
"""Terms that are written down whatever they weigh."""


class Learner:
    """All that changes during training.

    Args:
        recipe: What to do.
        device: Where.
        side: Voxels along x and y of every slice.
        world: The processes that share the work.

    Attributes:
        synthesizer: The generator in its units.
        discriminator: Its opponent, or None where the adversarial loss has no weight.
        parameters: The generator's, as published.
        dtype: Of weights, losses and optimisers.
    """

    def __init__(
        self, recipe: Recipe, device: torch.device, side: int = 256, world: World = ALONE
    ) -> None:
        require_possible(recipe, world)
        self.recipe, self.device, self._world = recipe, device, world
        self.dtype = torch.float64 if recipe.engine.precision == "float64" else torch.float32
        torch.manual_seed(recipe.training.seed)
        self.synthesizer = Synthesizer(recipe.model)
        self.parameters = count_parameters(self.synthesizer)
        self._copies: list[Copies] = []
        adversarial = recipe.loss.adversarial > 0
        channels = recipe.model.channels + 3
        self.discriminator = Discriminator(channels=channels) if adversarial else None
        if self.discriminator is not None:
            initialise(self.discriminator, recipe.model.initialisation)
        self._stages = self._prepared_generator(side)
        self._adam = self._new_adam(self.synthesizer)
        self._game: nn.Module | None = None
        if self.discriminator is not None:
            if recipe.engine.rewrites:
                rewrite_discriminator(self.discriminator, device)
            # Channels-last: copies between layouts took a tenth of a step (performance.md).
            self._settled(self.discriminator).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            self._game = spread(_Game(self.discriminator), world, device)
            self._judge_adam = self._new_adam(self.discriminator)
        self._average = (
            MovingAverage(self.synthesizer, recipe.training.ema) if recipe.training.ema else None
        )

    def _prepared_generator(self, side: int) -> nn.Module:
        knobs, generator = self.recipe.engine, self.synthesizer.generator
        if knobs.recompute:
            generator.run_stage = recomputed
        if knobs.rewrites:
            rewrite(generator, side, self.recipe.model.channels)
        self._settled(self.synthesizer)
        if knobs.rewrites and self.device.type == "cpu" and not knobs.compile:
            suit_processor(generator)
        stages: nn.Module = _Stages(self.synthesizer)
        if knobs.compile:
            # CUDA graphs, too: a stage is many small kernels, and launching them costs more
            mode = "reduce-overhead" if self.device.type == "cuda" else "default"
            stages.compile(mode=mode)
        return spread(stages, self._world, self.device)

    def _settled(self, module: nn.Module) -> nn.Module:
        """Bring a module to its device, precision and layout, among its like."""
        self._copies += divide(module, self._world)
        module.to(self.device, self.dtype)
        if self.device.type == "cuda":  # tensor cores want it so; processors gain nothing by it
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return module

    def _new_adam(self, module: nn.Module) -> torch.optim.Adam:
        knobs = self.recipe.optimizer
        learned = [parameter for parameter in module.parameters() if parameter.requires_grad]
        shared: dict[str, Any] = {"lr": knobs.learning_rate, "betas": knobs.betas, "fused": True}
        if knobs.name == "adamw":
            return torch.optim.AdamW(learned, weight_decay=knobs.weight_decay, **shared)
        return torch.optim.Adam(learned, **shared)

    def advance(self, epochs_done: float) -> None:
        """Set the learning rate of the next step, and which stage it is for.

        Args:
            epochs_done: With fractions.
        """
        knobs, epochs = self.recipe.optimizer, float(self.recipe.training.epochs)
        if self.recipe.training.order == "greedy":
            stage, epochs_done, epochs = stage_span(
                epochs_done, epochs, len(self.synthesizer.generator.chain)
            )
            self._train_only(stage)
        factor = rate_factor(knobs, epochs_done, epochs)
        for adam in (self._adam, self._judge_adam) if self._game is not None else (self._adam,):
            adam.param_groups[0]["lr"] = knobs.learning_rate * factor

    def _train_only(self, stage: int) -> None:
        """Freeze all stages but one: earlier ones predict as they will, later ones do not run."""
        generator = self.synthesizer.generator
        generator.limit = stage + 1
        for place, network in enumerate(generator.chain):
            network.requires_grad_(place == stage)
            network.train(place == stage)

    def step(self, batch: Batch, slices: int | None = None) -> dict[str, Tensor]:
        """Learn from one batch.

        Args:
            batch: Slices, on the learner's device.
            slices: In the batch of all processes together; this batch's own where None.

        Returns:
            Each term of the loss, the mean over this process's slices, still on the device.
        """
        for copies in self._copies:
            copies.renew()
        hu = batch.hu.to(self.dtype)
        ct = self.synthesizer.normalise(hu)
        pet = self.synthesizer.target(batch.suv.to(self.dtype))
        with self._precision():
            outputs = [stage.to(self.dtype) for stage in self._stages(hu)]
        last, push = outputs[-1], None
        parts = shares(len(pet), slices, self._world)
        terms = self._terms_of_parts(pet, outputs, batch.lesions, parts)
        loss = _weighed([of_part["loss"] for of_part in terms], parts)
        if self._game is not None:
            last = self._image(last)
            judged, push = self._step_discriminator(ct, pet, last, parts)
            for own, theirs in zip(terms, judged, strict=True):
                own["loss"] = own["loss"] + self.recipe.loss.adversarial * theirs["adversarial"]
                own.update(theirs)
        self._step_generator(loss, last, push)
        if self._average is not None:
            self._average.update()
        return _means(terms, parts)

    def _precision(self) -> AbstractContextManager[object]:
        if self.recipe.engine.precision == "bfloat16":
            # Copies of parameters are not cached, so of parts no parameter may be
            cached = self._world.parts == 1
            return torch.autocast(self.device.type, torch.bfloat16, cache_enabled=cached)
        return nullcontext()

    def _image(self, output: Tensor) -> Tensor:
        """What all other losses see of a member: of quantiles, the middle one in each channel."""
        if not self.synthesizer.gives_quantiles:
            return output
        return self.synthesizer.image(output).unsqueeze(1).expand_as(output)

    def _terms_of_parts(
        self, pet: Tensor, outputs: list[Tensor], lesions: Tensor | None, parts: Sequence[Share]
    ) -> list[dict[str, Tensor]]:
        marks = [None] * len(parts) if lesions is None else cut(lesions, parts)
        stages = zip(*(cut(output, parts) for output in outputs), strict=True)
        return [
            self._generator_terms(*of_part)
            for of_part in zip(cut(pet, parts), stages, marks, strict=True)
        ]

    def _generator_terms(
        self, pet: Tensor, outputs: Sequence[Tensor], lesions: Tensor | None
    ) -> dict[str, Tensor]:
        """The loss, each term that counts and two that are always looked at.

        Means over stages and members: each member has its own losses, so none leans on another.
        """
        knobs = self.recipe.loss
        compared = outputs if knobs.stages == "all" else outputs[-1:]
        supervised = [one for output in compared for one in self.synthesizer.members(output)]
        images = [self._image(output) for output in supervised]
        marks = None if lesions is None else lesions[:, None].to(pet.dtype).expand_as(pet)
        weight = losses.voxel_weights(pet, knobs.uptake, marks, knobs.lesions)
        means = {}
        for name, counts in knobs.terms.items():
            if counts or name in ALWAYS:
                further = (weight,) if name in losses.WEIGHTED else ()
                values = [getattr(losses, name)(image, pet, *further) for image in images]
                means[name] = torch.stack(values).mean()
        loss = torch.stack([knobs.terms[name] * means[name] for name in means]).sum()
        if self.synthesizer.gives_quantiles:
            values = [losses.pinball(output, pet) for output in supervised]
            means["pinball"] = torch.stack(values).mean()
            loss = loss + means["pinball"]
        return {"loss": loss, **means}

    def _step_discriminator(
        self, ct: Tensor, pet: Tensor, last: Tensor, parts: Sequence[Share]
    ) -> tuple[list[dict[str, Tensor]], Tensor]:
        """Judge, say where the generator should go, then learn.

        One pass over the synthetic PET serves both: the generator is judged by the weights that
        judged it, not by those that learned from it a moment later. That spares a forward pass of
        eleven stages' cost.

        Returns:
            The terms of both of each part, and the adversarial loss's gradient at the synthetic
            PET.
        """
        assert self._game is not None  # noqa: S101 - for the type checker
        knobs = self.recipe.loss
        fake = last.detach().requires_grad_()
        with self._precision():
            real, made = (logits.to(self.dtype) for logits in self._game(ct, pet, fake))
        judged = [
            {
                "discriminator": losses.discriminator_loss(*words, knobs.adversarial_form),
                "adversarial": losses.generator_adversarial_loss(words[1], knobs.adversarial_form),
            }
            for words in zip(cut(real, parts), cut(made, parts), strict=True)
        ]
        adversarial = _weighed([terms["adversarial"] for terms in judged], parts)
        [push] = torch.autograd.grad(knobs.adversarial * adversarial, fake, retain_graph=True)
        loss = _weighed([terms["discriminator"] for terms in judged], parts)
        self._judge_adam.zero_grad(set_to_none=True)
        torch.autograd.backward(loss, inputs=list(self._game.parameters()))
        self._judge_adam.step()
        return judged, push

    def _step_generator(self, loss: Tensor, last: Tensor, push: Tensor | None) -> None:
        self._adam.zero_grad(set_to_none=True)
        if push is None:
            torch.autograd.backward(loss)
        else:
            torch.autograd.backward([loss, last], [None, push])
        self._adam.step()

    @contextmanager
    def scoring(self) -> Iterator[Synthesizer]:
        """Have the synthesizer as it is scored and kept: its averaged weights, where wanted.

        Yields:
            The synthesizer, in evaluation mode.
        """
        self.synthesizer.eval()
        self.synthesizer.generator.limit = None
        with self._average.in_place() if self._average is not None else nullcontext():
            yield self.synthesizer

    def model_state(self) -> Tensors:
        """The weights that predict.

        Returns:
            Named tensors, in the published form.
        """
        with self.scoring() as synthesizer:
            return {name: value.clone() for name, value in synthesizer.state_dict().items()}

    def training_state(self) -> Tensors:
        """Everything that resuming needs besides the weights that predict.

        Returns:
            Named tensors.
        """
        tensors = optimizer_tensors(self._adam, "generator_adam")
        if self._average is not None:
            weights = self.synthesizer.state_dict()
            tensors |= {f"{RAW}{name}": value for name, value in weights.items()}
            tensors[AVERAGE] = torch.tensor(self._average.steps)
        if self.discriminator is not None:
            tensors |= optimizer_tensors(self._judge_adam, "discriminator_adam")
            weights = self.discriminator.state_dict()
            tensors |= {f"{JUDGE}{name}": value for name, value in weights.items()}
        return tensors

    @property
    def finite(self) -> bool:
        """Whether all weights are: the last step of an epoch is seen by no loss."""
        networks = [net for net in (self.synthesizer, self.discriminator) if net is not None]
        numbers = [v for net in networks for v in net.state_dict().values()]
        return all(bool(v.isfinite().all()) for v in numbers if v.is_floating_point())

    def begin_from(self, checkpoint: Path, card: Card) -> None:
        """Begin with the weights of another training; optimisers and averages start anew.

        Args:
            checkpoint: Another run's `best`, of the same generator.
            card: Its card.

        Raises:
            FormatError: Its weights are missing, damaged or another generator's.
        """
        load_weights(self.synthesizer, load_tensors(checkpoint, MODEL_FILE, card), checkpoint)
        if self._average is not None:
            self._average.restart(0)

    def restore(self, checkpoint: Path, card: Card) -> None:
        """Take up where a checkpoint left off.

        Args:
            checkpoint: `RUN/last`.
            card: Its card.

        Raises:
            FormatError: Its weights are missing, damaged or another generator's.
        """
        load_weights(self.synthesizer, load_tensors(checkpoint, MODEL_FILE, card), checkpoint)
        state = load_tensors(checkpoint, TRAINING_FILE, card)
        restore_optimizer(self._adam, state, "generator_adam")
        if self._average is not None:
            self._average.restart(int(state[AVERAGE]))
            load_weights(self.synthesizer, _under(RAW, state), checkpoint)
        if self.discriminator is not None:
            restore_optimizer(self._judge_adam, state, "discriminator_adam")
            load_weights(self.discriminator, _under(JUDGE, state), checkpoint)


class _Stages(nn.Module):
    """The generator on its own scale, as a module that can be compiled and spread."""

    def __init__(self, synthesizer: Synthesizer) -> None:
        super().__init__()
        self.synthesizer = synthesizer

    def forward(self, hu: Tensor) -> list[Tensor]:
        return self.synthesizer.stages(hu)


class _Game(nn.Module):
    """The discriminator's word on real and on synthetic PETs, in one pass for `spread`."""

    def __init__(self, judge: Discriminator) -> None:
        super().__init__()
        self.judge = judge

    def forward(self, ct: Tensor, pet: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        return self.judge(ct, pet), self.judge(ct, fake)


def _weighed(of_parts: list[Tensor], parts: Sequence[Share]) -> Tensor:
    """What a process's slices add to the step's loss."""
    return torch.stack([v * part.weight for v, part in zip(of_parts, parts, strict=True)]).sum()


def _means(of_parts: list[dict[str, Tensor]], parts: Sequence[Share]) -> dict[str, Tensor]:
    """Each term's mean over a process's slices, without its history."""
    slices = sum(part.slices for part in parts)
    even = [part._replace(weight=part.slices / slices) for part in parts]
    return {
        name: _weighed([terms[name].detach() for terms in of_parts], even) for name in of_parts[0]
    }


def _under(prefix: str, tensors: Tensors) -> Tensors:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
