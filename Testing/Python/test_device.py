"""Which device is chosen and what the user reads about it, the same on machines with a GPU."""

from __future__ import annotations

import pytest
import torch

from SDSegLib.errors import InputError
from SDSegLib.inference import device
from SDSegLib.inference.device import choose_device, why_not


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch):
    """Say which devices work: `pretend(cuda=None, mps="is not available")`."""

    def devices(platform: str = "linux", **problems: str | None) -> None:
        monkeypatch.setattr(device.sys, "platform", platform)
        monkeypatch.setattr(device, "why_not", problems.__getitem__)
        monkeypatch.setattr(device, "device_title", lambda name: f"a {name} device")

    return devices


def test_a_gpu_that_computes_correctly_is_taken(pretend) -> None:
    pretend(cuda=None)
    for requested in ("auto", "cuda"):
        chosen = choose_device(requested)
        assert chosen.device == torch.device("cuda")
        assert str(chosen) == "cuda: a cuda device"
    assert choose_device("cpu").device == torch.device("cpu")


def test_without_a_gpu_auto_takes_the_processor_and_says_why(pretend) -> None:
    pretend(cuda="is not available")
    chosen = choose_device("auto")
    assert chosen.device == torch.device("cpu")
    assert chosen.reason == "cuda is not available"


def test_on_a_mac_the_second_choice_is_mps(pretend) -> None:
    pretend("darwin", cuda="needs another build", mps=None)
    assert choose_device("auto").device == torch.device("mps")
    pretend("darwin", cuda="needs another build", mps="is not available")
    chosen = choose_device("auto")
    assert chosen.device == torch.device("cpu")
    assert chosen.reason == "cuda needs another build; mps is not available"


def test_a_device_that_was_asked_for_is_not_replaced(pretend) -> None:
    pretend(cuda="failed a test computation (no kernel image)")
    with pytest.raises(InputError, match=r"cuda failed a test .*; choose the device auto or cpu"):
        choose_device("cuda")
    with pytest.raises(InputError, match="Unknown device 'gpu'; choose one of auto, cuda, mps"):
        choose_device("gpu")


def test_a_build_of_pytorch_for_processors_is_told_from_a_missing_driver(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.version, "hip", None, raising=False)
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "another build of PyTorch" in str(why_not("cuda"))
    monkeypatch.setattr(torch.version, "cuda", "12.6")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "no working driver" in str(why_not("cuda"))


def test_a_device_that_fails_or_computes_wrongly_is_not_trusted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.version, "cuda", "12.6")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    ones = torch.ones

    def fails(*shape: int, device: str) -> torch.Tensor:
        raise RuntimeError("no kernel image is available\nCompile with TORCH_USE_CUDA_DSA")

    monkeypatch.setattr(torch, "ones", fails)
    assert why_not("cuda") == "failed a test computation (no kernel image is available)"
    monkeypatch.setattr(torch, "ones", lambda *shape, device: 2 * ones(*shape))
    assert why_not("cuda") == "gave 2048.0 instead of 512 in a test computation"
    monkeypatch.setattr(torch, "ones", lambda *shape, device: ones(*shape))
    assert why_not("cuda") is None
