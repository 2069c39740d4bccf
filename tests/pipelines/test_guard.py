from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from host_waits import waits_of
from torch import nn

from ns_talking.pipelines import guard as guard_module
from ns_talking.pipelines.guard import TRAINING_RECORD, TrainingGuard


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_the_training_and_is_named(tmp_path: Path, value: float) -> None:
    guard = TrainingGuard(tmp_path, "cpu")
    good = torch.tensor(1.0, requires_grad=True)
    guard.check_losses({"rgb": good, "entropy": good}, 3)
    with pytest.raises(FloatingPointError, match=r"iteration 4: the loss 'rgb' .* \(nor are 1 others\)") as error:
        guard.check_losses({"entropy": good, "rgb": torch.tensor(value), "lpips": torch.tensor(value)}, 4)
    assert "There is no checkpoint yet" in str(error.value)


def test_on_a_gpu_losses_are_judged_when_their_copy_has_arrived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived: list[torch.Tensor] = []
    monkeypatch.setattr(guard_module, "download", lambda flags: lambda: flags if arrived else None)
    guard, broken = TrainingGuard(tmp_path, "cuda"), {"rgb": torch.tensor(float("nan"))}
    guard.check_losses(broken, 15)
    assert waits_of(lambda: guard.check_losses(broken, 16)) == {}
    guard.check_losses({"rgb": torch.tensor(1.0)}, 17)
    arrived.append(torch.ones(1))
    with pytest.raises(FloatingPointError, match="at iteration 16: the loss 'rgb'"):
        guard.check_losses({"rgb": torch.tensor(1.0)}, 18)


def test_the_message_names_the_last_good_checkpoint(tmp_path: Path) -> None:
    folder = tmp_path / "nerfstudio_models"
    folder.mkdir()
    for step in (100, 200):
        (folder / f"step-{step:09d}.ckpt").write_bytes(b"weights")
    with pytest.raises(FloatingPointError, match=r"kept: .*step-000000200.ckpt.*--load-dir"):
        TrainingGuard(tmp_path, "cpu").check_losses({"rgb": torch.tensor(float("nan"))}, 250)


def test_a_broken_parameter_is_no_checkpoint(tmp_path: Path) -> None:
    guard, module = TrainingGuard(tmp_path, "cpu"), nn.Linear(2, 2)
    guard.check_parameters(module, 1)
    with torch.no_grad():
        module.bias[1] = float("nan")
    with pytest.raises(FloatingPointError, match="'bias' holds NaN or infinity, so no checkpoint was written"):
        guard.check_parameters(module, 2)


def test_time_adds_up_over_a_resume(tmp_path: Path) -> None:
    for iterations in (10, 20):
        guard = TrainingGuard(tmp_path, "cpu")
        guard.begin()
        guard.end()
        guard._seconds += 60
        guard.write(iterations)
    content = json.loads((tmp_path / TRAINING_RECORD).read_text())
    assert content["seconds"] == pytest.approx(120, abs=1)
    assert (content["iterations"], content["device"]) == (20, "cpu")
