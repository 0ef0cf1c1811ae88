"""The curves for TensorBoard, where a recipe wants them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from petcast.errors import UsageError

FOLDER = "tensorboard"


def require_curves(wanted: bool) -> None:
    """Refuse curves that cannot be written.

    Args:
        wanted: Whether a recipe wants them.

    Raises:
        UsageError: TensorBoard is not installed.
    """
    if not wanted:
        return
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError:
        raise UsageError(
            "engine.tensorboard needs TensorBoard: pip install 'petcast[tensorboard]'"
        ) from None


class Curves:
    """Writes the numbers of each epoch into RUN/tensorboard.

    Args:
        run: The run's folder.
        wanted: False writes nothing.

    Raises:
        UsageError: TensorBoard is not installed.
    """

    def __init__(self, run: Path, wanted: bool) -> None:
        self._writer: Any = None
        if not wanted:
            return
        require_curves(wanted)
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(run / FOLDER))

    def add(self, row: Mapping[str, Any]) -> None:
        """Write an epoch.

        Args:
            row: As in metrics.jsonl.
        """
        if self._writer is None:
            return
        for part in ("train", "validation", "test"):
            for name, value in (row[part] or {}).items():
                self._writer.add_scalar(f"{name}/{part}", value, row["epoch"])
        self._writer.flush()

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()
