"""TensorBoard is an extra: its absence is said, its presence is used."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

from petcast.engine.curves import FOLDER, Curves
from petcast.errors import UsageError

ROW = {"epoch": 3, "train": {"loss": 0.5}, "validation": None, "test": {"psnr": 30.0}}


class Writer:
    """What torch's writer is asked for."""

    def __init__(self, folder: str) -> None:
        self.folder, self.scalars, self.closed = folder, [], False
        made.append(self)

    def add_scalar(self, *scalar) -> None:
        self.scalars.append(scalar)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


made: list[Writer] = []


def test_unwanted_curves_need_nothing_and_write_nothing(tmp_path: Path) -> None:
    curves = Curves(tmp_path, wanted=False)
    curves.add(ROW)
    curves.close()
    assert not list(tmp_path.iterdir())


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UsageError, match=r"petcast\[tensorboard\]"):
        Curves(tmp_path, wanted=True)


def test_every_number_of_an_epoch_becomes_a_point(tmp_path: Path, monkeypatch) -> None:
    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    curves = Curves(tmp_path, wanted=True)
    curves.add(ROW)
    curves.close()
    [writer] = made
    assert writer.folder == str(tmp_path / FOLDER)
    assert writer.scalars == [("loss/train", 0.5, 3), ("psnr/test", 30.0, 3)]
    assert writer.closed
