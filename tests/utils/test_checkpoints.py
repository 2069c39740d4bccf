"""Laws of damaged checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ns_talking.utils.checkpoints import check_checkpoint


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "step-000000009.ckpt"
    torch.save({"step": 9, "pipeline": {"weight": torch.arange(500.0)}}, path)
    return path


def test_a_whole_checkpoint_passes(checkpoint: Path) -> None:
    check_checkpoint(checkpoint)


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text"])
def test_a_damaged_one_is_refused_and_others_are_named(checkpoint: Path, damage: str) -> None:
    content = bytearray(checkpoint.read_bytes())
    content[content.index(torch.arange(500.0).numpy().tobytes()) + 100] ^= 1
    damaged = {"cut": content[:-100], "flipped": content, "empty": b"", "text": b"no checkpoint"}[damage]
    checkpoint.write_bytes(damaged)
    with pytest.raises(ValueError, match=r"step-000000009.ckpt is damaged .*Train again"):
        check_checkpoint(checkpoint)
    (checkpoint.parent / "step-000000004.ckpt").touch()
    with pytest.raises(ValueError, match=r"Go on from another: step-000000004.ckpt"):
        check_checkpoint(checkpoint)
