"""Any generator: what it takes, what it keeps, and that it learns."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.functional import interpolate

from petcast.errors import GeometryError, UsageError
from petcast.losses import mse
from petcast.models import Discriminator, Synthesizer, build_generator
from petcast.models.dsggan import DSGGAN, DeepPerceptualSkip
from petcast.models.unet import UNet
from petcast.recipe import GENERATOR_NAMES, GeneratorName, ModelRecipe

STAGES = {"U-Net": 1, "Cas-UNet": 2, "DSGGAN": 2} | {f"Stage{n:02d}": n for n in range(1, 11)}


@pytest.mark.slow
@pytest.mark.parametrize("name", GENERATOR_NAMES)
def test_every_stages_output_comes_back_at_any_size_that_fits(name: GeneratorName) -> None:
    with torch.device("meta"):
        outputs = build_generator(ModelRecipe(name=name))(torch.empty(2, 3, 512, 256))
    assert [output.shape for output in outputs] == [(2, 3, 512, 256)] * STAGES[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Stage01", "U-Net", "DSGGAN"])
@pytest.mark.parametrize("size", [(256, 250), (64, 256), (0, 256)])
def test_a_size_that_cannot_be_halved_often_enough_is_refused(
    name: GeneratorName, size: tuple[int, int]
) -> None:
    with torch.device("meta"):
        generator = build_generator(ModelRecipe(name=name))
        with pytest.raises(GeometryError, match="multiple of"):
            generator(torch.empty(1, 3, *size))


@pytest.mark.slow
def test_a_batch_of_one_slice_trains_and_leaves_the_ct_as_it_was() -> None:
    generator = build_generator(ModelRecipe(name="Stage02")).train()
    ct = torch.randn(1, 3, 256, 256)
    before = ct.clone()
    first, last = generator(ct)
    kept = first.detach().clone()
    mse(last, torch.zeros_like(last)).backward()
    assert torch.equal(ct, before)
    assert torch.equal(first.detach(), kept)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in generator.parameters())


def test_dropout_acts_in_training_only_and_where_the_recipe_wants_it() -> None:
    def rates(rate: float, name: GeneratorName) -> list[float]:
        with torch.device("meta"):
            generator = build_generator(ModelRecipe(name=name, dropout=rate))
        return [m.p for m in generator.modules() if isinstance(m, nn.Dropout)]

    assert rates(0.2, "Stage02") == [0.2] * 6
    assert rates(0.2, "U-Net") == [0.2] * 3
    assert rates(0.0, "Stage02") == rates(0.0, "U-Net") == []


def test_the_unets_biases_and_normalisations_are_pix2pixs() -> None:
    with torch.device("meta"):
        unet = UNet()
    layers = [m for m in unet.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert [layer.bias is not None for layer in layers] == [False] * 15 + [True]
    assert sum(isinstance(m, nn.BatchNorm2d) for m in unet.modules()) == 6 + 7


def test_a_unets_images_end_at_the_scales_ends() -> None:
    """By its tanh: docs/decisions/0003 says that its SUV stay below the window's upper end."""
    unet = UNet(levels=2).eval()
    with torch.no_grad():
        unet.visual[1].bias.fill_(3.0)
        highest = float(unet(torch.zeros(1, 3, 8, 8)).max())
    assert 0.9 < highest < 1


def test_the_discriminator_is_pix2pixs_and_its_patches_have_70_voxels_a_side() -> None:
    with torch.device("meta"):
        layers = list(Discriminator().layers)
    assert [m.negative_slope for m in layers if not isinstance(m, nn.Conv2d | nn.BatchNorm2d)] == (
        [0.2] * 4
    )
    convolutions = [m for m in layers if isinstance(m, nn.Conv2d)]
    assert [m.bias is not None for m in convolutions] == [True, False, False, False, True]
    side = 1
    for convolution in reversed(convolutions):
        side = (side - 1) * convolution.stride[0] + convolution.kernel_size[0]
    assert side == 70


@pytest.mark.slow
def test_weights_survive_a_safetensors_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    saved, loaded = (Synthesizer(ModelRecipe(name="Stage01")).eval() for _ in range(2))
    save_file(saved.state_dict(), tmp_path / "model.safetensors")
    loaded.load_state_dict(load_file(tmp_path / "model.safetensors"))
    hu = torch.randn(1, 1, 256, 256) * 500
    with torch.inference_mode():
        assert torch.equal(saved(hu)[0], loaded(hu)[0])


def test_a_deep_perceptual_skip_equals_one_convolution_of_all_levels() -> None:
    torch.manual_seed(0)
    skip = DeepPerceptualSkip([16, 8, 4]).eval()
    levels = [torch.randn(2, c, s, s) for c, s in ((16, 8), (8, 4), (4, 2))]
    grown = torch.cat([interpolate(level, size=(8, 8)) for level in levels], dim=1)
    weight = torch.cat([convolution.weight for convolution in skip.fuse], dim=1)
    refined = skip.refine(nn.functional.conv2d(grown, weight))
    expected = levels[0] + refined * skip.select(refined)
    torch.testing.assert_close(skip(levels), expected)


@pytest.mark.slow
def test_dsggans_texture_sees_the_ct_and_not_only_the_structure() -> None:
    torch.manual_seed(0)
    generator = DSGGAN(dropout=0.0).eval()
    last = generator.chain[0].visual[1]
    nn.init.zeros_(last.weight)  # the structure is now the same for every CT
    with torch.inference_mode():
        one, other = (generator(torch.rand(1, 3, 128, 128)) for _ in range(2))
    assert torch.equal(one[0], other[0])
    assert not torch.allclose(one[1], other[1])


@pytest.mark.slow
@pytest.mark.parametrize("slices", [1, 2, 3])
@pytest.mark.parametrize("wanted", ["replicate", "neighbours"])
def test_the_wrong_number_of_slices_is_refused(wanted: str, slices: int) -> None:
    with torch.device("meta"):
        synthesizer = Synthesizer(ModelRecipe(input=wanted))
        hu = torch.empty(1, slices, 256, 256)
    if slices == synthesizer.slices:
        assert synthesizer(hu)[0].shape == (1, 256, 256)
    else:
        with pytest.raises(UsageError, match=f"not {slices}"):
            synthesizer(hu)


def test_suv_inside_the_window_survives_there_and_back(monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.device("meta"):
        synthesizer = Synthesizer(ModelRecipe(suv_window=(0.5, 7.5)))
    suv = torch.linspace(0.5, 7.5, 64).reshape(1, 8, 8)
    monkeypatch.setattr(synthesizer, "stages", lambda hu: [synthesizer.target(suv)])
    torch.testing.assert_close(synthesizer(torch.zeros(1, 1, 8, 8))[0], suv)


@pytest.mark.slow
def test_a_stage_learns_two_smooth_pairs_by_heart() -> None:
    torch.manual_seed(0)
    stage = build_generator(ModelRecipe(name="Stage01", dropout=0.0)).train()
    ct, pet = (interpolate(torch.rand(2, 3, 8, 8), (256, 256), mode="bicubic") for _ in range(2))
    adam = torch.optim.Adam(stage.parameters(), lr=1e-3, fused=True)
    errors = []
    for _ in range(50):
        adam.zero_grad()
        error = mse(stage(ct)[-1], pet)
        error.backward()
        adam.step()
        errors.append(float(error.detach()))
    assert errors[-1] < float(pet.var())  # what the best constant image would score
    assert errors[-1] < 0.1 * errors[0]
