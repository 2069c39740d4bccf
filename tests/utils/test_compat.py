from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from nerfstudio.engine.schedulers import ExponentialDecaySchedulerConfig

from ns_talking.utils.compat import allow_scalars_in_checkpoints

pytestmark = pytest.mark.skipif(torch.__version__ < "2.6", reason="torch before 2.6 loads every checkpoint")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(2))], lr=1e-2)
    scheduler = ExponentialDecaySchedulerConfig(lr_final=1e-4, max_steps=100).setup()
    schedule = scheduler.get_scheduler(optimizer, lr_init=1e-2)
    for _ in range(3):
        optimizer.step()
        schedule.step()
    path = tmp_path / "step-000000003.ckpt"
    torch.save({"schedulers": {"fields": schedule.state_dict()}, "optimizers": optimizer.state_dict()}, path)
    return path


@pytest.fixture(autouse=True)
def _accepted_types_restored() -> Iterator[None]:
    before = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    yield
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals(before)


def test_nerfstudios_checkpoints_still_need_the_workaround(checkpoint: Path) -> None:
    with pytest.raises(pickle.UnpicklingError):
        torch.load(checkpoint, weights_only=True)


def test_nerfstudios_checkpoints_load_safely(checkpoint: Path) -> None:
    allow_scalars_in_checkpoints()
    rates = torch.load(checkpoint, weights_only=True)["schedulers"]["fields"]["_last_lr"]
    assert rates == pytest.approx([1e-2 * 0.01**0.03])


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int64])
def test_scalars_of_every_usual_kind_load_safely(kind: type, tmp_path: Path) -> None:
    allow_scalars_in_checkpoints()
    torch.save({"value": kind(3)}, tmp_path / "scalar.pt")
    assert torch.load(tmp_path / "scalar.pt", weights_only=True)["value"] == 3


def test_code_in_a_checkpoint_is_still_refused(tmp_path: Path) -> None:
    allow_scalars_in_checkpoints()
    torch.save({"value": Path("x")}, tmp_path / "code.pt")
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "code.pt", weights_only=True)
