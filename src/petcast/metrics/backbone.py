"""Convolutional features of AlexNet and VGG16, from weights that the user brings.

The networks saw photographs (ImageNet). A PET slice goes in as three equal channels: 0…1 of the SUV
window becomes −1…1, then each channel loses the mean and is divided by the standard deviation that
the networks were trained with. Only the convolutions are here; what classifies is left out.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import conv2d, max_pool2d

from petcast.errors import FormatError, GeometryError

CHANNEL_MEAN = (-0.030, -0.088, -0.188)
"""ImageNet's mean red, green and blue on the scale −1…1 (0.485, 0.456, 0.406 on 0…1)."""

CHANNEL_STD = (0.458, 0.448, 0.450)
"""Their standard deviations on the same scale (0.229, 0.224, 0.225 on 0…1)."""


@dataclass(frozen=True)
class Convolution:
    """A convolution with its ReLU.

    Attributes:
        number: Its place among torchvision's `features`, by which its weights are called.
        shape: Of the weights: out, in, rows, columns.
        stride: In voxels.
        padding: In voxels, with zeros.
        pooled: Whether the maximum over windows is taken before it.
        tapped: Whether its output is one of the layers that images are compared in.
    """

    number: int
    shape: tuple[int, int, int, int]
    stride: int = 1
    padding: int = 1
    pooled: bool = False
    tapped: bool = False


@dataclass(frozen=True)
class Architecture:
    """A network's convolutions.

    Attributes:
        name: As evaluation.json spells it.
        pool: Side of the window that maxima are taken over, every two voxels.
        smallest: Voxels a side that an image needs to leave something for every layer.
        convolutions: In order.
    """

    name: str
    pool: int
    smallest: int
    convolutions: tuple[Convolution, ...]

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of the compared layers."""
        return tuple(one.shape[0] for one in self.convolutions if one.tapped)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each tensor of a weights file, by its name."""
        shapes: dict[str, tuple[int, ...]] = {}
        for one in self.convolutions:
            shapes[_name(one, "weight")] = one.shape
            shapes[_name(one, "bias")] = one.shape[:1]
        for layer, channels in enumerate(self.channels):
            shapes[linear_name(layer)] = (1, channels, 1, 1)
        return shapes


def _vgg_block(first: int, channels: tuple[int, int], count: int) -> tuple[Convolution, ...]:
    """Convolutions of 3 × 3; the last one's output is compared."""
    start, width = channels
    return tuple(
        Convolution(
            first + 2 * place,
            (width, start if place == 0 else width, 3, 3),
            pooled=place == 0 and first > 0,
            tapped=place == count - 1,
        )
        for place in range(count)
    )


# Krizhevsky, One weird trick for parallelizing convolutional neural networks, 2014.
ALEXNET = Architecture(
    "alexnet",
    pool=3,
    smallest=31,
    convolutions=(
        Convolution(0, (64, 3, 11, 11), stride=4, padding=2, tapped=True),
        Convolution(3, (192, 64, 5, 5), padding=2, pooled=True, tapped=True),
        Convolution(6, (384, 192, 3, 3), pooled=True, tapped=True),
        Convolution(8, (256, 384, 3, 3), tapped=True),
        Convolution(10, (256, 256, 3, 3), tapped=True),
    ),
)

# Simonyan and Zisserman, Very deep convolutional networks, ICLR 2015, configuration D.
VGG16 = Architecture(
    "vgg16",
    pool=2,
    smallest=16,
    convolutions=(
        *_vgg_block(0, (3, 64), 2),
        *_vgg_block(5, (64, 128), 2),
        *_vgg_block(10, (128, 256), 3),
        *_vgg_block(17, (256, 512), 3),
        *_vgg_block(24, (512, 512), 3),
    ),
)

ARCHITECTURES = (ALEXNET, VGG16)


class Backbone:
    """A network with its weights, ready to look at slices."""

    def __init__(self, architecture: Architecture, tensors: Mapping[str, Tensor]) -> None:
        """Take the weights in, after checking them.

        Args:
            architecture: What they are of.
            tensors: By the names of `architecture.shapes`.

        Raises:
            FormatError: Names, shapes or values are not what they should be.
        """
        check_tensors(architecture, tensors)
        self.architecture = architecture
        self._tensors = {name: value.to(torch.float32) for name, value in tensors.items()}

    @property
    def linear(self) -> list[Float[Tensor, " _"]]:
        """The learned weight of each channel of each compared layer."""
        layers = range(len(self.architecture.channels))
        return [self._tensors[linear_name(layer)].flatten() for layer in layers]

    def features(self, image: Float[Tensor, "n y x"]) -> list[Float[Tensor, "n _ _ _"]]:
        """Look at slices.

        Args:
            image: On the scale [0, 1].

        Returns:
            The compared layers' outputs, each (n, channels, rows, columns).

        Raises:
            GeometryError: The slices are smaller than the network needs.
        """
        if min(image.shape[1:]) < self.architecture.smallest:
            least = self.architecture.smallest
            raise GeometryError(
                f"slices of {image.shape[1]} × {image.shape[2]} voxels are too small for "
                f"{self.architecture.name}, which needs {least} × {least}; leave --perceptual out, "
                "or take weights of vgg16, which needs the least (16 × 16)"
            )
        return list(self._layers(_three_channels(image)))

    def _layers(self, x: Tensor) -> Iterator[Tensor]:
        for one in self.architecture.convolutions:
            if one.pooled:
                x = max_pool2d(x, self.architecture.pool, stride=2)
            weight, bias = (self._tensors[_name(one, part)] for part in ("weight", "bias"))
            x = conv2d(x, weight, bias, stride=one.stride, padding=one.padding).relu()
            if one.tapped:
                yield x


def linear_name(layer: int) -> str:
    """Name the tensor that weighs a compared layer's channels.

    Args:
        layer: From 0.

    Returns:
        As the lpips package calls it.

    Example:
        >>> linear_name(0)
        'lin0.model.1.weight'
    """
    return f"lin{layer}.model.1.weight"


def architecture_of(tensors: Mapping[str, Tensor]) -> Architecture:
    """Tell which network weights are of, by the first convolution.

    Args:
        tensors: By name.

    Returns:
        The architecture; that the rest fits is for `check_tensors` to say.

    Raises:
        FormatError: They are of none that is known here.
    """
    first = tensors.get("features.0.weight")
    for one in ARCHITECTURES:
        if first is not None and tuple(first.shape) == one.shapes["features.0.weight"]:
            return one
    found = "is missing" if first is None else f"has the shape {tuple(first.shape)}"
    raise FormatError(
        f"no weights of alexnet or vgg16: features.0.weight {found}, expected (64, 3, 11, 11) or "
        "(64, 3, 3, 3); docs/evaluate.md shows how the file is made"
    )


def check_tensors(architecture: Architecture, tensors: Mapping[str, Tensor]) -> None:
    """Refuse weights that are not the network's.

    Args:
        architecture: What they should be of.
        tensors: By name.

    Raises:
        FormatError: Tensors are missing, unknown, of another shape or type, not finite, or weigh a
            channel negatively.
    """
    shapes = architecture.shapes
    for words, names in (
        ("are missing", sorted(shapes.keys() - tensors.keys())),
        ("do not belong there", sorted(tensors.keys() - shapes.keys())),
    ):
        if names:
            shown = ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
            raise FormatError(
                f"weights of {architecture.name}: {len(names)} tensors {words} ({shown}); "
                "docs/evaluate.md shows how the file is made"
            )
    for name, shape in shapes.items():
        if fault := _fault(name, tensors[name], shape):
            raise FormatError(f"weights of {architecture.name}: {name} {fault}")


def _fault(name: str, tensor: Tensor, shape: tuple[int, ...]) -> str | None:
    if tuple(tensor.shape) != shape:
        return f"has the shape {tuple(tensor.shape)}, expected {shape}"
    if not tensor.is_floating_point():
        return f"holds {tensor.dtype}, expected floating-point numbers"
    if not tensor.isfinite().all():
        return "holds NaN or infinite values; make the file again"
    if name.startswith("lin") and (tensor < 0).any():
        return "weighs channels negatively: no distance; take the weights that lpips published"
    return None


def _three_channels(image: Float[Tensor, "n y x"]) -> Float[Tensor, "n 3 y x"]:
    mean, std = (
        torch.tensor(channel, dtype=torch.float32)[:, None, None]
        for channel in (CHANNEL_MEAN, CHANNEL_STD)
    )
    return ((2 * image.to(torch.float32) - 1)[:, None] - mean) / std


def _name(one: Convolution, part: str) -> str:
    return f"features.{one.number}.{part}"
