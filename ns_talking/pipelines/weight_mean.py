"""The mean of the last parameters, which is better than the last of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

_INTERVAL = 5
"""Iterations between two looks at the parameters: a mean over hundreds is none the worse for it."""
_HORIZONS = 4
"""The mean begins so many horizons before its end; what lies further back would weigh 2 % together."""


class WeightMean:
    """A mean of parameters over the end of a training, in which later ones weigh more.

    Source:
        Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", 1992, with weights that fall
        exponentially into the past, as diffusion models and GANs have them.

    Args:
        parameters: What is averaged, by name.
        horizon: Iterations after which a parameter's weight in the mean has fallen to 1/e.
        end: The mean takes the parameters' place after so many iterations, counted from the start of the training.
    """

    def __init__(self, parameters: Mapping[str, Tensor], horizon: float, end: int) -> None:
        self._parameters = dict(parameters)
        self._horizon, self._end = horizon, end
        self._begin = max(end - _HORIZONS * horizon, 0)
        self._mean: list[Tensor] = []
        self._count = 0

    @torch.no_grad()
    def after(self, step: int) -> None:
        """Take in the parameters as they are after an iteration; behind the last one, put the mean in their place."""
        done = step + 1
        if not self._begin < done <= self._end:
            return
        current = [parameter.detach() for parameter in self._parameters.values()]
        if done % _INTERVAL == 0 or done == self._end:
            self._count += 1
            if self._mean:
                share = max(1 / self._count, min(_INTERVAL / self._horizon, 1.0))
                torch._foreach_lerp_(self._mean, current, share)
            else:
                self._mean = [parameter.clone() for parameter in current]
        if done == self._end:
            torch._foreach_copy_(current, self._mean)
            self._mean, self._count = [], 0

    def state_dict(self) -> dict[str, int | dict[str, Tensor]]:
        """Give what a training needs to go on as if it had not been interrupted; empty when no mean is under way."""
        if not self._mean:
            return {}
        return {"count": self._count, "mean": dict(zip(self._parameters, self._mean, strict=True))}

    def load_state_dict(self, state: Mapping[str, int | dict[str, Tensor]]) -> None:
        """Go on with the mean of a checkpoint; from one without it begins at the present parameters."""
        self._mean, self._count = [], 0
        count, mean = state.get("count"), state.get("mean")
        if isinstance(count, int) and isinstance(mean, dict) and set(mean) == set(self._parameters):
            self._count = count
            self._mean = [mean[name].to(at) for name, at in self._parameters.items()]


def averaged_parameters(groups: Mapping[str, Sequence[Tensor]], without: Sequence[str]) -> dict[str, Tensor]:
    """Name the parameters of all groups but some, by group and place.

    Args:
        groups: Parameters as the optimizers have them.
        without: Groups that are left out.
    """
    return {
        f"{group}.{number}": parameter
        for group, parameters in groups.items()
        if group not in without
        for number, parameter in enumerate(parameters)
    }
