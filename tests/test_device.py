"""Where to compute: processors and GPUs, and nothing else that torch calls a device."""

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from petcast.cli import app
from petcast.device import choose_device, imitates_bfloat16, passed_over, sent, within_memory
from petcast.errors import MemoryShortError, UsageError


def test_a_processor_is_always_there() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type in ("cpu", "cuda")


@pytest.mark.parametrize("name", ["meta", "tpu", "", "cpu:x"])
def test_what_computes_nothing_is_no_device(name: str) -> None:
    with pytest.raises(UsageError, match=r"use auto(, cpu)? or c"):
        choose_device(name)


OLD_DRIVER = "The NVIDIA driver on your system is too old (found version 11040). Please update it."
ORDINAL = "CUDA error: invalid device ordinal\nCUDA kernel errors might be reported later."
BUSY = "CUDA error: out of memory\nCUDA kernel errors might be reported later."


@pytest.mark.parametrize(
    ("name", "built", "said", "word"),
    [
        ("cuda", None, "Torch not compiled with CUDA enabled", "built without CUDA; install one"),
        ("cuda:1", "12.8", OLD_DRIVER, "is too old .found version 11040.*or use auto or cpu"),
        ("cuda:8", "12.8", ORDINAL, "no device 'cuda:8' here: this machine shows 8, from cuda:0"),
        ("cuda", "12.8", BUSY, r"'cuda' cannot be used here \(CUDA error: out of memory\);"),
    ],
)
def test_a_gpu_that_cannot_be_had_is_said_with_the_reason(
    name: str, built: str | None, said: str, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise RuntimeError(said)

    monkeypatch.setattr(torch, "empty", refused)
    monkeypatch.setattr(torch.version, "cuda", built)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    with pytest.raises(UsageError, match=word):
        choose_device(name)


def test_who_has_a_gpu_that_torch_passes_over_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr("petcast.device.GPUS", tmp_path / "gpus")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert passed_over() == ""
    (tmp_path / "gpus/0000:17:00.0").mkdir(parents=True)
    assert "was built without CUDA; training runs on the processor" in passed_over()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert passed_over() == ""


ON_GPU = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 3 has a total capacity of 79.15 GiB of "
    "which 1.02 GiB is free. Process 17 has 78.1 GiB memory in use. If reserved memory is large, …"
)
ON_PROCESSOR = (
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you "
    "tried to allocate 17592186044416 bytes. Error code 12 (Cannot allocate memory)"
)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (torch.OutOfMemoryError(ON_GPU), "GPU 3 has a total .* of which 1.02 GiB is free"),
        (RuntimeError(ON_PROCESSOR), "can't allocate memory: you tried to allocate 17592"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), "ALLOC_FAILED"),
        (MemoryError(), "out of memory"),
    ],
)
def test_too_little_memory_is_said_in_a_line_with_a_remedy(error: Exception, said: str) -> None:
    whole = rf"^training on it needs more memory than there is \(.*{said}.*\): take less$"
    with (
        pytest.raises(MemoryShortError, match=whole),
        within_memory("training on it", lambda: "take less"),
    ):
        raise error


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes"), within_memory("this", lambda: "that"):
        raise RuntimeError("shapes do not fit")


def test_what_is_sent_to_a_gpu_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    values, sent_as = torch.arange(3), []
    assert sent(values, torch.device("cpu")) is values
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    monkeypatch.setattr(torch.Tensor, "to", lambda _, *place, **how: sent_as.append((place, how)))
    sent(values, torch.device("cuda", 1))
    assert sent_as == [((torch.device("cuda", 1),), {"non_blocking": True})]


def test_no_gpu_is_offered_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match=r"'tpu' here; use auto or cpu$"):
        choose_device("tpu")


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
