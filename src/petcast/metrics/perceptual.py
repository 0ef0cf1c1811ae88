"""How far two images lie apart in a network's eyes: LPIPS, and what its features are on average.

References:
    Zhang et al., The unreasonable effectiveness of deep features as a perceptual metric, CVPR
    2018. Heusel et al., GANs trained by a two time-scale update rule converge to a local Nash
    equilibrium, NeurIPS 2017 (the distance in `frechet`, there of another network's features).
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from petcast.errors import UsageError
from petcast.metrics.backbone import Backbone

FAINTEST = 1e-10
"""Added to the length of a feature vector, so that a layer that is silent there stays 0."""


def lpips(
    prediction: Float[Tensor, "n y x"],
    truth: Float[Tensor, "n y x"],
    backbone: Backbone,
    *,
    data_range: float,
) -> Float[Tensor, " n"]:
    """Compare slices by a network's features (Zhang et al. 2018, equation 1).

    Args:
        prediction: On the scale 0 to `data_range`.
        truth: On the same scale.
        backbone: The network, with the learned weights of its layers' channels.
        data_range: What the largest grey is.

    Returns:
        A distance a slice: 0 of equal ones, without an upper end.

    Raises:
        UsageError: The range is not positive.
        GeometryError: The slices are smaller than the network needs.
    """
    if not data_range > 0:
        raise UsageError(f"a data range of {data_range}: give the largest grey, above 0")
    seen, real = (backbone.features(image / data_range) for image in (prediction, truth))
    return feature_distance(seen, real, backbone.linear)


def feature_distance(
    first: Sequence[Float[Tensor, "n _ _ _"]],
    second: Sequence[Float[Tensor, "n _ _ _"]],
    linear: Sequence[Float[Tensor, " _"]],
) -> Float[Tensor, " n"]:
    """Compare features that were taken before.

    Args:
        first: Each layer's, (n, channels, rows, columns).
        second: Of the same shapes.
        linear: The weight of each channel, layer by layer.

    Returns:
        Per image: at each place the feature vectors are scaled to length 1, their squared
        difference is weighed by channel, averaged over the places and summed over the layers.

    Example:
        >>> one, other = torch.zeros(1, 2, 1, 1), torch.zeros(1, 2, 1, 1)
        >>> one[0, 0], other[0, 1] = 3.0, 5.0  # at right angles: (1, 0) and (0, 1)
        >>> feature_distance([one], [other], [torch.tensor([0.5, 0.25])]).tolist()
        [0.75]
    """
    total = first[0].new_zeros(len(first[0]), dtype=torch.float64)
    for one, other, weights in zip(first, second, linear, strict=True):
        squared = (_unit_length(one) - _unit_length(other)).square()
        by_channel = squared.mean(dim=(2, 3), dtype=torch.float64)
        total += by_channel @ weights.to(torch.float64)
    return total


def pooled(features: Sequence[Float[Tensor, "n _ _ _"]]) -> Float[Tensor, "n d"]:
    """Describe each image by the means of the deepest layer's channels.

    Args:
        features: Each layer's, (n, channels, rows, columns).

    Returns:
        (n, channels of the last layer).

    Example:
        >>> pooled([torch.ones(2, 3, 4, 4), torch.ones(2, 5, 1, 1)]).shape
        torch.Size([2, 5])
    """
    return features[-1].mean(dim=(2, 3))


def _unit_length(features: Float[Tensor, "n c v u"]) -> Float[Tensor, "n c v u"]:
    return features / (features.square().sum(dim=1, keepdim=True).sqrt() + FAINTEST)
