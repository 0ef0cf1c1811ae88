"""LPIPS against two computations of others' making, and against its own laws."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torchmetrics
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from torch import Tensor, nn

from petcast.errors import FormatError, GeometryError, UsageError
from petcast.metrics.backbone import (
    ALEXNET,
    ARCHITECTURES,
    VGG16,
    Architecture,
    Backbone,
    Convolution,
    architecture_of,
    check_tensors,
)
from petcast.metrics.perceptual import feature_distance, lpips, pooled

Tensors = dict[str, Tensor]

TINY = Architecture(
    "tiny", 2, 4,
    (Convolution(0, (4, 3, 3, 3), tapped=True), Convolution(3, (6, 4, 3, 3), 1, 1, True, True)),
)  # fmt: skip


def random_tensors(architecture: Architecture, seed: int = 0) -> Tensors:
    """Weights that keep a layer as bright as the one before; a third of the channels count 0."""
    torch.manual_seed(seed)
    tensors = {}
    for name, shape in architecture.shapes.items():
        if name.startswith("lin"):
            tensors[name] = (torch.rand(shape) - 1 / 3).clamp(min=0)
        elif name.endswith("bias"):
            tensors[name] = 0.1 * torch.randn(shape)
        else:
            tensors[name] = torch.randn(shape) * (2 / np.prod(shape[1:])) ** 0.5
    return tensors


@pytest.fixture(scope="module")
def networks() -> dict[str, Backbone]:
    return {one.name: Backbone(one, random_tensors(one)) for one in (TINY, *ARCHITECTURES)}


def pair(side: int = 40, noise: float = 0.2, n: int = 2, seed: int = 0) -> tuple[Tensor, Tensor]:
    torch.manual_seed(seed)
    truth = torch.rand(n, side, side)
    return (truth + noise * torch.randn(n, side, side)).clamp(0, 1), truth


def by_hand_convolution(
    image: NDArray[np.float64], weight: NDArray[np.float64], bias: NDArray[np.float64],
    stride: int, padding: int,
) -> NDArray[np.float64]:  # fmt: skip
    padded = np.pad(image, ((0, 0), (padding, padding), (padding, padding)))
    patches = sliding_window_view(padded, weight.shape[2:], axis=(1, 2))[:, ::stride, ::stride]
    return np.einsum("cyxij,ocij->oyx", patches, weight) + bias[:, None, None]


def by_hand_alexnet(image: NDArray[np.float64], tensors: Tensors) -> list[NDArray[np.float64]]:
    """AlexNet's features as its paper's table has them, in numpy alone."""
    grey = (np.array([image] * 3).T - np.array([0.485, 0.456, 0.406])).T
    x, outputs = (grey.T / np.array([0.229, 0.224, 0.225])).T, []
    for number, stride, padding, pool in (
        (0, 4, 2, False), (3, 1, 2, True), (6, 1, 1, True), (8, 1, 1, False), (10, 1, 1, False),
    ):  # fmt: skip
        if pool:
            x = sliding_window_view(x, (3, 3), axis=(1, 2))[:, ::2, ::2].max(axis=(-1, -2))
        own = (tensors[f"features.{number}.{part}"].double().numpy() for part in ("weight", "bias"))
        x = np.maximum(by_hand_convolution(x, *own, stride, padding), 0)
        outputs.append(x)
    return outputs


def by_hand_distance(first: Tensor, second: Tensor, tensors: Tensors) -> float:
    total = 0.0
    features = [by_hand_alexnet(one.double().numpy(), tensors) for one in (first, second)]
    for layer, (one, other) in enumerate(zip(*features, strict=True)):
        weights = tensors[f"lin{layer}.model.1.weight"].double().numpy().ravel()
        unit = [f / np.linalg.norm(f, axis=0, keepdims=True) for f in (one, other)]
        total += float((weights @ ((unit[0] - unit[1]) ** 2).reshape(len(weights), -1)).mean())
    return total


@pytest.mark.slow
def test_alexnets_distance_is_that_of_numpy(networks: dict[str, Backbone]) -> None:
    prediction, truth = pair(side=47)
    found = lpips(prediction, truth, networks["alexnet"], data_range=1.0)
    tensors = random_tensors(ALEXNET)
    expected = [by_hand_distance(p, t, tensors) for p, t in zip(prediction, truth, strict=True)]
    assert found.tolist() == pytest.approx(expected, rel=1e-5)


def torchvision_features(name: str) -> nn.Sequential:
    """The convolutions in torchvision's order, which the names of the tensors count."""
    if name == "alexnet":
        layers = [
            nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2),
        ]  # fmt: skip
        return nn.Sequential(*layers)
    layers, channels = [], 3
    for width in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0):
        if width:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        else:
            layers.append(nn.MaxPool2d(2, 2))
    return nn.Sequential(*layers)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "short"), [("alexnet", "alex"), ("vgg16", "vgg")])
def test_distances_are_torchmetrics_with_the_published_linear_weights(
    name: str, short: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchmetrics.functional.image import lpips as theirs

    torch.manual_seed(3)
    network = torchvision_features(name)
    monkeypatch.setattr(theirs, "_get_tv_model_features", lambda *_: network)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torchmetrics' loading
        reference = theirs._LPIPS(net=short, pnet_rand=True)
    folder = Path(torchmetrics.__file__).parent / "functional" / "image" / "lpips_models"
    linear = torch.load(folder / f"{short}.pth", weights_only=True, map_location="cpu")
    tensors = {f"features.{key}": value for key, value in network.state_dict().items()} | linear
    backbone = Backbone(architecture_of(tensors), tensors)
    assert backbone.architecture.name == name
    prediction, truth = pair(side=64)
    with torch.inference_mode():
        found = lpips(5 * prediction, 5 * truth, backbone, data_range=5.0)
        grey = (image[:, None].expand(-1, 3, -1, -1) for image in (prediction, truth))
        expected = reference(*grey, normalize=True).flatten().double()
    torch.testing.assert_close(found, expected, rtol=2e-5, atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny", "alexnet", "vgg16"])
def test_equal_images_have_no_distance_and_order_does_not_matter(
    name: str, networks: dict[str, Backbone]
) -> None:
    prediction, truth = pair()
    backbone = networks[name]
    assert lpips(truth, truth, backbone, data_range=1.0).tolist() == [0.0, 0.0]
    there = lpips(prediction, truth, backbone, data_range=1.0)
    assert (there > 1e-4).all()
    assert lpips(truth, prediction, backbone, data_range=1.0).tolist() == there.tolist()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny", "alexnet", "vgg16"])
def test_more_noise_is_further_away(name: str, networks: dict[str, Backbone]) -> None:
    truth, noise = 0.25 + 0.5 * torch.rand(1, 64, 64), torch.randn(1, 64, 64)
    strengths = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0)
    far = [
        float(lpips(truth + strength * noise, truth, networks[name], data_range=1.0))
        for strength in strengths
    ]
    assert far == sorted(far)
    assert len(set(far)) == len(far)


def test_the_distance_by_hand() -> None:
    # Two places. At the first the vectors are at right angles, at the second they are parallel.
    first = torch.tensor([[[[3.0, 2.0]], [[0.0, 2.0]]]])
    second = torch.tensor([[[[0.0, 5.0]], [[4.0, 5.0]]]])
    found = feature_distance([first, first], [second, second], [torch.tensor([0.5, 2.0])] * 2)
    assert found.tolist() == pytest.approx([2 * (0.5 + 2.0) / 2])


def test_a_silent_layer_is_no_nan() -> None:
    silent, loud = torch.zeros(1, 2, 1, 1), torch.ones(1, 2, 1, 1)
    weights = [torch.ones(2)]
    assert feature_distance([silent], [silent], weights).item() == 0
    assert feature_distance([silent], [loud], weights).item() == pytest.approx(1.0)


def test_what_is_pooled_are_the_deepest_layers_means(networks: dict[str, Backbone]) -> None:
    image, _ = pair()
    features = networks["alexnet"].features(image)
    assert [layer.shape[1] for layer in features] == [64, 192, 384, 256, 256]
    expected = features[-1].flatten(2).double().mean(-1)
    torch.testing.assert_close(pooled(features).double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda one: one.name)
def test_slices_just_large_enough_pass_and_smaller_ones_are_refused(
    architecture: Architecture, networks: dict[str, Backbone]
) -> None:
    backbone, least = networks[architecture.name], architecture.smallest
    assert all(layer.numel() for layer in backbone.features(torch.rand(1, least, least + 9)))
    with pytest.raises(GeometryError, match=f"{architecture.name}, which needs {least} × {least}"):
        backbone.features(torch.rand(1, 2 * least, least - 1))


def test_a_range_has_to_be_positive(networks: dict[str, Backbone]) -> None:
    image, _ = pair()
    with pytest.raises(UsageError, match="data range"):
        lpips(image, image, networks["tiny"], data_range=0.0)


def test_both_networks_are_told_by_their_first_convolution() -> None:
    assert architecture_of(random_tensors(ALEXNET)) is ALEXNET
    assert architecture_of({"features.0.weight": torch.zeros(64, 3, 3, 3)}) is VGG16
    with pytest.raises(FormatError, match="is missing"):
        architecture_of({})
    with pytest.raises(FormatError, match=r"shape \(1, 3, 3, 3\)"):
        architecture_of({"features.0.weight": torch.zeros(1, 3, 3, 3)})


def spoil(change: Callable[[Tensors], object]) -> Tensors:
    tensors = random_tensors(TINY)
    change(tensors)
    return tensors


LINEAR, WEIGHT, BIAS = "lin1.model.1.weight", "features.3.weight", "features.0.bias"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop(LINEAR), f"1 tensors are missing.*{LINEAR}"),
        (lambda t: t.update({"classifier.1.weight": t[BIAS]}), r"do not belong there \(classifier"),
        (lambda t: t.update({WEIGHT: t[WEIGHT][:, :2]}), rf"{WEIGHT} has the shape \(6, 2, 3, 3\)"),
        (lambda t: t.update({BIAS: t[BIAS].int()}), f"{BIAS} holds torch.int32"),
        (lambda t: t[WEIGHT].view(-1)[5:6].fill_(float("nan")), f"{WEIGHT} holds NaN"),
        (lambda t: t[LINEAR].view(-1)[0:1].fill_(-0.1), f"{LINEAR} weighs channels negatively"),
    ],
)  # fmt: skip
def test_other_tensors_than_the_networks_are_refused(
    change: Callable[[Tensors], object], words: str
) -> None:
    check_tensors(TINY, random_tensors(TINY))
    with pytest.raises(FormatError, match=words):
        check_tensors(TINY, spoil(change))


def test_half_precision_weights_are_taken() -> None:
    half = {name: value.half() for name, value in random_tensors(TINY).items()}
    prediction, truth = pair()
    found = lpips(prediction, truth, Backbone(TINY, half), data_range=1.0)
    exact = lpips(prediction, truth, Backbone(TINY, random_tensors(TINY)), data_range=1.0)
    torch.testing.assert_close(found, exact, rtol=1e-2, atol=0)
