"""A training step asks nothing of a GPU that the program would have to wait for, but where samples are packed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from host_waits import waits_of

from ns_talking.methods.presets import AdamWConfig
from ns_talking.pipelines.phases import PhasesConfig
from ns_talking.pipelines.portrait import PortraitPipeline
from ns_talking.pipelines.trainer import SteadyGradScaler


@pytest.fixture
def method() -> str:
    return "er-nerf"


@pytest.mark.parametrize(
    ("phase", "allowed"),
    # Only occupied samples are evaluated, a fifth of all that there could be, and their number sizes what follows.
    [("head", {"nonzero": 1}), ("lips", {"nonzero": 1}), ("torso", {})],
)
def test_a_training_step_waits_for_nothing_but_the_number_of_samples(
    phase: str, allowed: dict[str, int], make_pipeline: Callable[..., PortraitPipeline]
) -> None:
    pipeline = make_pipeline(use_lpips=False)
    pipeline.config.phases = PhasesConfig(**{"head": 0, "lips": 0, "torso": 0, phase: 100})
    groups = pipeline.get_param_groups()
    optimizers = [AdamWConfig(lr=1e-3).setup(params=group) for group in groups.values()]

    def step(number: int) -> None:
        _, losses, _ = pipeline.get_train_loss_dict(number)
        torch.stack(list(losses.values())).sum().backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()

    step(1)
    assert waits_of(lambda: step(2)) == allowed


def test_the_gradient_scaler_tells_its_scale_to_checkpoints_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    scaler = SteadyGradScaler(enabled=True, init_scale=1024.0)
    # The scale lives on the GPU from the first step on; here a stand-in on the CPU will do.
    scaler._scale, scaler._growth_tracker = torch.tensor(1024.0), torch.tensor(0)
    assert waits_of(scaler.get_scale) == {}
    assert scaler.get_scale() == scaler.get_scale()
    assert scaler.state_dict()["scale"] == 1024.0
    assert SteadyGradScaler(enabled=False).state_dict() == {}


@pytest.mark.parametrize(
    ("ask", "wait"),
    [
        (lambda values: float(values.sum()), "_local_scalar_dense"),
        (lambda values: values[values > 0], "index"),
        (lambda values: values.unique(), "_unique2"),
    ],
)
def test_waits_are_found(ask: Callable[[torch.Tensor], object], wait: str) -> None:
    assert wait in waits_of(lambda: ask(torch.ones(3)))
