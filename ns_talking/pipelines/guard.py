"""Watching a training: it stops when numbers break down, and its time is written down."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from ns_talking.utils.device import download
from ns_talking.utils.files import write_json

TRAINING_RECORD = "training.json"
"""Beside config.yml: how long the iterations took, on what."""
_GPU_INTERVAL = 16
"""Iterations between two looks at the losses on a GPU."""


class TrainingGuard:
    """Checks losses and parameters, and sums up the time of iterations.

    Args:
        folder: Where config.yml lies.
        device: Where the model trains.
    """

    def __init__(self, folder: Path, device: torch.device | str) -> None:
        self._folder, self._device = folder, torch.device(device)
        self._seconds = 0.0
        self._before = _recorded_seconds(folder)
        self._began_s = 0.0
        self._looks: deque[tuple[int, list[str], Callable[[], Tensor | None]]] = deque()

    def begin(self) -> None:
        """Start the clock of an iteration."""
        self._began_s = time.perf_counter()

    def end(self) -> None:
        """Stop it."""
        self._seconds += time.perf_counter() - self._began_s

    def check_losses(self, losses: Mapping[str, Tensor], step: int) -> None:
        """Refuse losses that are no numbers.

        On a CPU no gradient of theirs reaches the parameters. On a GPU every sixteenth iteration is looked at, and
        judged an iteration or two later, when the GPU has got there by itself; gradients that are no numbers are left
        out by the gradient scaler, and `check_parameters` stands before every checkpoint.

        Raises:
            FloatingPointError: With which loss it is, and what to do.
        """
        if self._device.type != "cuda" or step % _GPU_INTERVAL == 0:
            finite = torch.stack([torch.isfinite(value.detach().sum()) for value in losses.values()])
            self._looks.append((step, list(losses), download(finite)))
        while self._looks and (found := self._looks[0][2]()) is not None:
            at, names, _ = self._looks.popleft()
            broken = [name for name, good in zip(names, found.tolist(), strict=True) if not good]
            if broken:
                raise FloatingPointError(
                    f"Training stopped at iteration {at}: the loss {broken[0]!r} is no longer a number"
                    f"{f' (nor are {len(broken) - 1} others)' if len(broken) > 1 else ''}. {self._what_to_do()}"
                )

    def check_parameters(self, module: nn.Module, step: int) -> None:
        """Refuse to keep a checkpoint that holds NaN or infinity.

        Raises:
            FloatingPointError: With which parameter it is, and what to do.
        """
        for name, parameter in module.named_parameters():
            if not bool(torch.isfinite(parameter).all()):
                raise FloatingPointError(
                    f"Training stopped at iteration {step}: the parameter {name!r} holds NaN or infinity, so no "
                    f"checkpoint was written. {self._what_to_do()}"
                )

    def write(self, iterations: int) -> None:
        """Write down the time so far, that of a run that was resumed included.

        Args:
            iterations: Iterations done.
        """
        name = torch.cuda.get_device_name(self._device) if self._device.type == "cuda" else "cpu"
        content = {"seconds": round(self._before + self._seconds, 2), "iterations": iterations, "device": name}
        write_json(self._folder / TRAINING_RECORD, content)

    def _what_to_do(self) -> str:
        checkpoints = sorted((self._folder / "nerfstudio_models").glob("step-*.ckpt"))
        kept = f"The last good checkpoint is kept: {checkpoints[-1]}." if checkpoints else "There is no checkpoint yet."
        again = f" Go on from it with --load-dir {checkpoints[-1].parent}" if checkpoints else " Train again"
        return (
            f"{kept}{again} and lower learning rates, or with full precision (--mixed-precision False); "
            "`ns-talking doctor DATASET` tells whether the dataset holds what does not belong there."
        )


def _recorded_seconds(folder: Path) -> float:
    path = folder / TRAINING_RECORD
    if not path.is_file():
        return 0.0
    try:
        return float(json.loads(path.read_text(encoding="utf-8"))["seconds"])
    except (ValueError, KeyError, TypeError):
        # A broken note about time is no reason not to train.
        return 0.0
