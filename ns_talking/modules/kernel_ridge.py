"""Kernel ridge regression whose supports travel in the checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


@dataclass(frozen=True)
class Fold:
    """One part of a clip, and the frames from which it may be predicted."""

    train: Int[Tensor, " train"]
    held_out: Int[Tensor, " held_out"]


class KernelRidge(nn.Module):
    """Regress outputs on vectors, with a Gaussian and a small linear kernel between their principal components.

    Source:
        Ridge regression in dual form with k(x, y) = exp(-|x - y|^2 / (2 w v)) + s x.y / v, v the total variance of
        the inputs; with more training vectors than supports, the subset-of-regressors approximation. Width, share
        and ridge were chosen on folds of a real clip's training frames.

    Args:
        inputs: Size of an input vector.
        num_projections: Principal components kept.
        outputs: Size of an output vector.
    """

    WIDTH = 0.5
    LINEAR_SHARE = 0.2
    RIDGE = 1.0

    def __init__(self, inputs: int, num_projections: int, outputs: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("projection", torch.zeros(inputs, num_projections, dtype=torch.float16))
        self.register_buffer("variance", torch.ones(()))
        self.register_buffer("supports", torch.zeros(0, num_projections, dtype=torch.float16))
        self.register_buffer("weights", torch.zeros(0, outputs))
        self.register_buffer("offset", torch.zeros(outputs))
        self.mean: Tensor
        self.projection: Tensor
        self.variance: Tensor
        self.supports: Tensor
        self.weights: Tensor
        self.offset: Tensor

    def fit_projection(self, inputs: Float[Tensor, "frames inputs"], seed: int = 0) -> None:
        """Find the principal components of the inputs.

        Source:
            Halko, Martinsson and Tropp, "Finding structure with randomness", 2011: randomised range finder with two
            power iterations.
        """
        generator = torch.Generator().manual_seed(seed)
        self.mean.copy_(inputs.mean(dim=0))
        centred = inputs - self.mean
        rank = min(self.projection.shape[1], *centred.shape)
        basis = torch.randn(centred.shape[1], min(rank + 8, *centred.shape), generator=generator)
        for _ in range(3):
            basis = torch.linalg.qr(centred.T @ (centred @ basis)).Q
        _, _, axes = torch.linalg.svd(centred @ basis, full_matrices=False)
        self.projection.zero_()
        self.projection[:, :rank] = (basis @ axes.T[:, :rank]).half()
        self.variance.copy_(self._projected(inputs).var(dim=0).sum().clamp(min=1e-9))

    def fit(
        self,
        inputs: Float[Tensor, "frames inputs"],
        outputs: Float[Tensor, "frames outputs"],
        train: Int[Tensor, " train"],
        max_supports: int,
    ) -> None:
        """Fit the regression to some of the frames; the projection is fitted already."""
        projected = self._projected(inputs)
        supports = train[_evenly(len(train), max_supports)]
        self.supports = projected[supports].half()
        self.offset.copy_(outputs[train].mean(dim=0))
        self.weights = self._solve(projected[train], self.supports.float(), outputs[train] - self.offset).float()

    def out_of_fold(
        self,
        inputs: Float[Tensor, "frames inputs"],
        outputs: Float[Tensor, "frames outputs"],
        folds: list[Fold],
        max_supports: int,
    ) -> Float[Tensor, "frames outputs"]:
        """Predict each fold by a regression on the frames that the fold allows."""
        predicted = torch.zeros_like(outputs)
        for fold in folds:
            self.fit(inputs, outputs, fold.train, max_supports)
            predicted[fold.held_out] = self(inputs[fold.held_out])
        return predicted

    def forward(self, inputs: Float[Tensor, "frames inputs"]) -> Float[Tensor, "frames outputs"]:
        """Predict the outputs of each input."""
        return self._kernel(self._projected(inputs), self.supports.float()) @ self.weights + self.offset

    def _solve(
        self,
        train: Float[Tensor, "train projections"],
        supports: Float[Tensor, "supports projections"],
        outputs: Float[Tensor, "train outputs"],
    ) -> Float[Tensor, "supports outputs"]:
        between = self._kernel(supports, supports).double()
        if len(train) == len(supports):
            system = between + self.RIDGE * torch.eye(len(between), dtype=torch.float64)
            return torch.cholesky_solve(outputs.double(), torch.linalg.cholesky(system))
        to_supports = self._kernel(train, supports).double()
        system = to_supports.T @ to_supports + self.RIDGE * between
        system.diagonal().add_(1e-6 * system.diagonal().mean())
        return torch.cholesky_solve(to_supports.T @ outputs.double(), torch.linalg.cholesky(system))

    def _projected(self, inputs: Float[Tensor, "frames inputs"]) -> Float[Tensor, "frames projections"]:
        return (inputs - self.mean) @ self.projection.float()

    def _kernel(
        self, left: Float[Tensor, "left projections"], right: Float[Tensor, "right projections"]
    ) -> Float[Tensor, "left right"]:
        inner = left @ right.T
        squared = left.square().sum(dim=1)[:, None] + right.square().sum(dim=1) - 2 * inner
        gaussian = torch.exp(-squared.clamp(min=0) / (2 * self.WIDTH * self.variance))
        return gaussian + self.LINEAR_SHARE * inner / self.variance

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:  # PyTorch's hook.
        """Make room for as many supports as the checkpoint holds."""
        for name in ("supports", "weights"):
            stored = state_dict.get(prefix + name)
            if stored is not None:
                setattr(self, name, torch.empty(stored.shape, dtype=stored.dtype, device=self.mean.device))
        super()._load_from_state_dict(state_dict, prefix, *args)


def _evenly(count: int, most: int) -> Int[Tensor, " kept"]:
    return torch.linspace(0, count - 1, min(count, most)).round().long()
