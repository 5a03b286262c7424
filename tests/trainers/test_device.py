"""Where a model computes, by name and by what the machine has."""

from __future__ import annotations

import pytest
import torch

from clinragen.evaluation.config import EvaluateConfig
from clinragen.explain_config import ExplainConfig
from modeling_clinragen.errors import SettingsError
from trainers.device import cpu_threads, resolve_device


@pytest.mark.parametrize(
    ("name", "gpus", "local_rank", "expected"),
    [
        ("auto", 0, 0, "cpu"),
        ("auto", 0, 3, "cpu"),
        ("auto", 1, 0, "cuda:0"),
        ("auto", 2, 1, "cuda:1"),
        ("auto", 2, 3, "cuda:1"),
        ("cpu", 2, 1, "cpu"),
        ("cuda", 2, 0, "cuda:0"),
        ("cuda", 2, 1, "cuda:1"),
        ("cuda:1", 2, 0, "cuda:1"),
        ("cuda:0", 2, 1, "cuda:0"),
    ],
)
def test_a_device_is_found(
    name: str, gpus: int, local_rank: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpus > 0)
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    assert resolve_device(name, local_rank) == torch.device(expected)


@pytest.mark.parametrize(("name", "gpus"), [("cuda", 0), ("cuda:0", 0), ("cuda:2", 2)])
def test_a_device_that_is_not_there_is_refused(name: str, gpus: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpus > 0)
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    with pytest.raises(SettingsError, match=f"device: '{name}' is not there: torch finds {gpus} GPUs"):
        resolve_device(name)


@pytest.mark.parametrize("kind", [EvaluateConfig, ExplainConfig])
@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "cuda:-1", "CPU", "", "cuda:0 "])
def test_what_names_no_device_is_refused(kind: type, name: str) -> None:
    with pytest.raises(SettingsError, match="device: expected auto, cpu, cuda or cuda:N"):
        kind(device=name)


def test_threads_are_set_for_a_while() -> None:
    torch.set_num_threads(2)
    try:
        with cpu_threads(1):
            assert torch.get_num_threads() == 1
        with cpu_threads(None):
            assert torch.get_num_threads() == 2
        with pytest.raises(SettingsError), cpu_threads(1):
            raise SettingsError("a fault inside")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
