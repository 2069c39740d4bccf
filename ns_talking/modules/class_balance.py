"""Mean loss of each class of pixels, smoothed over steps: what decides how many rays each class gets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from nerfstudio.configs.base_config import InstantiateConfig
from torch import Tensor, nn


@dataclass
class ClassBalanceConfig(InstantiateConfig):
    """When and how smoothly the losses of classes are told. The paper says neither; our design."""

    _target: type = field(default_factory=lambda: ClassBalance)
    momentum: float = 0.99
    """Share of the old mean that a step keeps."""
    warm_up: int = 1_000
    """Steps before the losses are told for the first time; until then rays lie anywhere."""
    interval: int = 500
    """Steps between two tellings; in between the shares of the rays rest."""


class ClassBalance(nn.Module):
    """Exponential mean of the loss per class over the rays of all steps.

    Rays are drawn uniformly within a class, so however many there are, their mean is unbiased. All of it travels in the
    checkpoint: a resumed run draws the rays that it would have drawn.

    Args:
        config: Smoothness and schedule.
        num_classes: Classes of pixels.
    """

    def __init__(self, config: ClassBalanceConfig, num_classes: int) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("total", torch.zeros(num_classes))
        self.register_buffer("weight", torch.zeros(num_classes))
        # Negative until the losses were told.
        self.register_buffer("told", -torch.ones(num_classes))
        self.total: Tensor
        self.weight: Tensor
        self.told: Tensor
        self._on_host: np.ndarray | None = None

    @torch.no_grad()
    def observe(self, loss: Float[Tensor, " rays"], classes: Int[Tensor, " rays"]) -> None:
        """Take in the losses of a step's rays; a class without rays keeps its mean."""
        belongs = class_counts(classes, len(self.total))
        present = belongs.sum(dim=0) > 0
        mean = (belongs * loss.float()[:, None]).sum(dim=0) / belongs.sum(dim=0).clamp(min=1)
        keep = torch.where(present, self.config.momentum, 1.0)
        self.total.copy_(keep * self.total + (1 - keep) * mean)
        self.weight.copy_(keep * self.weight + (1 - keep))

    @property
    def means(self) -> Float[Tensor, " classes"]:
        """Mean loss of each class; 0 for a class that was never seen."""
        return self.total / self.weight.clamp(min=1e-12)

    @torch.no_grad()
    def tell(self, step: int) -> None:
        """Tell the losses anew where the schedule says so."""
        if step >= self.config.warm_up and step % self.config.interval == 0:
            self.told.copy_(self.means)
            self._on_host = None

    @property
    def known(self) -> Float[np.ndarray, " classes"] | None:
        """The losses as they were told last; None before."""
        if self._on_host is None:
            self._on_host = self.told.cpu().numpy()
        return None if (self._on_host < 0).any() else self._on_host

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:  # PyTorch's hook.
        super()._load_from_state_dict(state_dict, prefix, *args)
        self._on_host = None


def class_counts(classes: Int[Tensor, " rays"], num_classes: int) -> Float[Tensor, "rays classes"]:
    """Mark the class of each ray; a sum over rays counts without asking the GPU for the largest class."""
    return (classes[:, None] == torch.arange(num_classes, device=classes.device)).float()
