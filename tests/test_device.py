"""Where to compute: processors and GPUs, and nothing else that torch calls a device."""

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from petcast.cli import app
from petcast.device import choose_device, imitates_bfloat16, sent
from petcast.errors import UsageError


def test_a_processor_is_always_there() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type in ("cpu", "cuda")


@pytest.mark.parametrize("name", ["meta", "cuda:99", "tpu", "", "cpu:x"])
def test_what_computes_nothing_is_no_device(name: str) -> None:
    with pytest.raises(UsageError, match="use auto, cpu or cuda"):
        choose_device(name)


def test_what_is_sent_to_a_gpu_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    values, sent_as = torch.arange(3), []
    assert sent(values, torch.device("cpu")) is values
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    monkeypatch.setattr(torch.Tensor, "to", lambda _, *place, **how: sent_as.append((place, how)))
    sent(values, torch.device("cuda", 1))
    assert sent_as == [((torch.device("cuda", 1),), {"non_blocking": True})]


@pytest.mark.parametrize(("supported", "imitated"), [(True, False), (False, True)])
def test_a_processor_without_bfloat16_is_told_from_one_that_has_it(
    supported: bool, imitated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: supported, raising=False
    )
    assert imitates_bfloat16(torch.device("cpu")) is imitated


def test_who_asks_for_bfloat16_where_it_is_imitated_is_told(
    tiny_pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("petcast.train.train", lambda *_: [])
    for precision, imitated in (("bfloat16", True), ("bfloat16", False), ("float32", True)):
        monkeypatch.setattr("petcast.device.imitates_bfloat16", lambda _, told=imitated: told)
        command = ["train", "tiny", "--data", str(tiny_pairs), "--out", str(tmp_path / "run")]
        setting = ["--set", f"engine.precision={precision}", "--json"]
        said = CliRunner().invoke(app, [*command, *setting])
        assert said.exit_code == 0
        warned = "engine.precision=float32" in said.stderr
        assert warned is (imitated and precision == "bfloat16")
