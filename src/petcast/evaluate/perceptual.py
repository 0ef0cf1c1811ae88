"""What a network trained on photographs makes of the images, where the user brings its weights.

Nothing of it is imported or computed otherwise.
"""

import hashlib
import re
from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Shaped
from numpy.typing import NDArray

from petcast.errors import FormatError, UsageError
from petcast.evaluate.measure import SliceValues
from petcast.evaluate.result import Finding
from petcast.metrics.image import to_unit_scale

if TYPE_CHECKING:
    from petcast.metrics.backbone import Backbone

SLICES_AT_ONCE = 4
"""Bounds the memory of the features: VGG16's take 33 MB a slice at 256 × 256."""

REAL = "real PET"
"""What the truth is called among the features."""

Whose = tuple[str, str]
"""A case, and its patient."""


@dataclass(frozen=True)
class Weights:
    """Which weights are to be used.

    Attributes:
        path: A safetensors file.
        sha256: Of the file, 64 hexadecimal digits.
    """

    path: Path
    sha256: str

    @classmethod
    def asked(cls, path: Path | None, sha256: str | None) -> "Weights | None":
        """Take what a user asked for.

        Args:
            path: A safetensors file, or None.
            sha256: Its hash, or None.

        Returns:
            None where neither was given.

        Raises:
            UsageError: One without the other, or no hash.
        """
        if path is None and sha256 is None:
            return None
        if path is None or sha256 is None:
            raise UsageError(
                "--perceptual and --perceptual-sha256 belong together: the numbers mean something "
                "only for weights that are known (sha256sum FILE prints the hash)"
            )
        if not re.fullmatch("[0-9a-fA-F]{64}", sha256):
            raise UsageError(
                f"--perceptual-sha256 {sha256}: expected 64 hexadecimal digits, as sha256sum prints"
            )
        return cls(path, sha256.lower())


def load_backbone(weights: Weights) -> "Backbone":
    """Read weights and make sure that they are those that were meant.

    Args:
        weights: The file and its hash.

    Returns:
        The network.

    Raises:
        UsageError: There is no such file.
        FormatError: It is another file, no safetensors, or holds other tensors than it should.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    from petcast.metrics.backbone import Backbone, architecture_of

    if not weights.path.is_file():
        raise UsageError(f"{weights.path} is no file; give --perceptual the weights to use")
    content = weights.path.read_bytes()  # hashed and read once: nobody can exchange it in between
    found = hashlib.sha256(content).hexdigest()
    if found != weights.sha256:
        raise FormatError(
            f"{weights.path} has the SHA-256 {found}, expected {weights.sha256}; it is another "
            "file than you mean, or damaged"
        )
    try:
        tensors = load(content)
    except SafetensorError as error:
        raise FormatError(
            f"{weights.path} is no safetensors file ({error}); docs/evaluate.md shows how it is "
            "made. Pickled weights (.pth) are never read: they can run any code"
        ) from error
    try:
        return Backbone(architecture_of(tensors), tensors)
    except FormatError as error:
        raise FormatError(f"{weights.path}: {error}") from error


class Perceptual:
    """Looks at the images while cases pass by; without weights it does nothing."""

    def __init__(self, weights: Weights | None, suv_window: tuple[float, float]) -> None:
        """Load the weights, so that wrong ones are refused before anything is measured.

        Args:
            weights: Which, if any.
            suv_window: SUV mapped to black and white.
        """
        self._backbone = load_backbone(weights) if weights else None
        self._sha256 = weights.sha256 if weights else ""
        self._window = suv_window
        self._pooled: dict[str, dict[Whose, list[NDArray[np.float32]]]] = {}

    @torch.inference_mode()
    def measure(
        self,
        images: Mapping[str, Shaped[np.ndarray, "z y x"]],
        truth: Shaped[np.ndarray, "z y x"],
        case: str,
        patient: str,
    ) -> dict[str, SliceValues]:
        """Look at the images of a case.

        Args:
            images: SUV by name.
            truth: The real PET in SUV.
            case: What it is called.
            patient: Whose it is.

        Returns:
            For each image, a value a slice as metric "lpips" of the whole slice.

        Raises:
            GeometryError: The slices are smaller than the network needs.
        """
        if self._backbone is None:
            return {}
        found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in images}
        for start in range(0, len(truth), SLICES_AT_ONCE):
            part = slice(start, start + SLICES_AT_ONCE)
            cut = {name: image[part] for name, image in images.items()}
            measured = self._measure(self._backbone, cut, truth[part], (case, patient))
            for name, values in measured.items():
                found[name].append(values)
        return {name: {("whole", "lpips"): np.concatenate(parts)} for name, parts in found.items()}

    def drop(self, names: Container[str]) -> None:
        """Forget cases again.

        Args:
            names: Those whose prediction turned out to be mistaken.
        """
        for name, own in self._pooled.items():
            self._pooled[name] = {who: parts for who, parts in own.items() if who[0] not in names}

    def about(self) -> dict[str, Any]:
        """Give what evaluation.json says beside the rows (docs/files.md).

        Returns:
            The key `perceptual`; nothing without weights.
        """
        if self._backbone is None:
            return {}
        from petcast.metrics.backbone import CHANNEL_MEAN, CHANNEL_STD

        document = {
            "architecture": self._backbone.architecture.name,
            "sha256": self._sha256,
            "channel_mean": list(CHANNEL_MEAN),
            "channel_std": list(CHANNEL_STD),
            "features": self._features,
            "frechet": self._frechet(),
        }
        return {"perceptual": document}

    def findings(self) -> list[Finding]:
        """Say where there are too few slices for a Fréchet distance that means much.

        Returns:
            A warning, or nothing.
        """
        slices = len(self._all(REAL))
        if self._backbone is None or not 0 < slices <= self._features:
            return []
        detail = (
            f"Slices are no more than features ({slices} and {self._features}): their covariances "
            "are singular and the Fréchet distances too large, for a perfect model of other "
            "patients as well. Compare them with the other rows here alone."
        )
        return [Finding("FRECHET-FEW-SLICES", detail)]

    def _measure(
        self,
        backbone: "Backbone",
        images: Mapping[str, Shaped[np.ndarray, "z y x"]],
        truth: Shaped[np.ndarray, "z y x"],
        whose: Whose,
    ) -> dict[str, NDArray[np.float64]]:
        from petcast.metrics.perceptual import feature_distance

        real = self._look(backbone, truth, REAL, whose)
        distances = {}
        for name, image in images.items():
            seen = self._look(backbone, image, name, whose)
            distances[name] = feature_distance(seen, real, backbone.linear).numpy()
        return distances

    def _look(
        self, backbone: "Backbone", suv: Shaped[np.ndarray, "z y x"], name: str, whose: Whose
    ) -> list[torch.Tensor]:
        """Features of some slices; what the deepest ones are on average is kept."""
        from petcast.metrics.perceptual import pooled

        image = to_unit_scale(torch.from_numpy(np.array(suv, np.float32)), self._window)
        alike = bool((image == image[:1]).all())  # trivial images: one look is enough
        seen = backbone.features(image[:1] if alike else image)
        features = [layer.expand(len(image), -1, -1, -1) for layer in seen]
        kept = self._pooled.setdefault(name, {}).setdefault(whose, [])
        kept.append(pooled(features).numpy())
        return features

    def _frechet(self) -> list[dict[str, Any]]:
        from petcast.metrics.frechet import frechet_distance

        real, patients = self._all(REAL), {patient for _, patient in self._pooled.get(REAL, ())}
        return [
            {
                "name": name,
                "value": frechet_distance(self._all(name), real),
                "slices": len(real),
                "patients": len(patients),
            }
            for name, own in self._pooled.items()
            if name != REAL and own
        ]

    def _all(self, name: str) -> NDArray[np.float32]:
        parts = [part for own in self._pooled.get(name, {}).values() for part in own]
        return np.concatenate(parts) if parts else np.empty((0, 0), np.float32)

    @property
    def _features(self) -> int:
        return self._backbone.architecture.channels[-1] if self._backbone else 0
