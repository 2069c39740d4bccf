"""A method computed by tiny-cuda-nn, or its stand-in, is the same method."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
import torch
from kernels import tinycudann_double

from ns_talking.kernels.tcnn import library
from ns_talking.pipelines.portrait import PortraitPipeline

Make = Callable[..., PortraitPipeline]


@pytest.fixture
def method() -> str:
    return "er-nerf"


def losses(pipeline: PortraitPipeline) -> dict[str, float]:
    _, found, _ = pipeline.get_train_loss_dict(1)
    torch.stack(list(found.values())).sum().backward()
    assert pipeline.portrait_model.head.planes.grad.abs().max() > 0
    return {name: float(value.detach()) for name, value in found.items()}


def test_a_step_costs_the_same_and_the_checkpoint_fits_both(
    make_pipeline: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = make_pipeline(use_lpips=False)
    monkeypatch.setitem(sys.modules, "tinycudann", tinycudann_double)
    monkeypatch.setattr(library, "DEVICE", "cpu")
    theirs = make_pipeline(use_lpips=False, implementation="tcnn")
    theirs.load_state_dict(ours.state_dict())
    assert theirs.portrait_model.head.implementation == theirs.portrait_model.torso.implementation == "tcnn"
    expected, found = losses(ours), losses(theirs)
    assert found == pytest.approx(expected, rel=2e-2, abs=1e-5) and found != expected
    ours.load_state_dict(theirs.state_dict())


def test_without_the_library_training_does_not_begin(make_pipeline: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tinycudann", None)
    with pytest.raises(ImportError, match="needs tiny-cuda-nn.*leave the option at `torch`"):
        make_pipeline(implementation="tcnn")
