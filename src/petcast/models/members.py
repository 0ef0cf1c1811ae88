"""Networks of one shape that learn side by side and are averaged: a deep ensemble in one model.

Each begins with weights of its own, sees the same slices and has its own losses, so that it learns
as if it were alone. What they agree on is kept by their mean, what one of them made up is divided.

Reference: Lakshminarayanan et al., Simple and scalable predictive uncertainty estimation using deep
ensembles, NeurIPS 2017.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Members(nn.Module):
    """One stage of several networks that know nothing of each other.

    Args:
        networks: From the shared channels and three of their own, or from the shared ones alone,
            to three.
        shared: Channels of the input that all of them see: the CT's.
    """

    def __init__(self, networks: Sequence[nn.Module], *, shared: int) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.shared = shared

    def forward(self, x: Float[Tensor, "b c y x"]) -> Float[Tensor, "b d y x"]:
        """Run each network on what all see and on what is its own.

        Args:
            x: The shared channels, then each network's own, network by network.

        Returns:
            Each network's three channels, network by network.
        """
        seen, own = x[:, : self.shared], x[:, self.shared :]
        each = own.tensor_split(len(self.networks), dim=1)
        pairs = zip(self.networks, each, strict=True)
        return torch.cat([network(torch.cat([seen, its], dim=1)) for network, its in pairs], dim=1)
