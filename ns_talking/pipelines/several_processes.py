"""Training in several processes, one per GPU: all keep the same parameters, by the mean of their gradients.

PyTorch's wrapper for this, which Nerfstudio takes, expects one pass through the model per step. A step of ours may take
two, of the head and of the torso beside it, and the wrapper then ends training with an error.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
from nerfstudio.engine.optimizers import Optimizers
from torch import nn
from torch.amp.grad_scaler import GradScaler
from torch.nn import Parameter


class SharedOptimizers(Optimizers):
    """Optimizers that step by the mean gradient of all processes."""

    def optimizer_scaler_step_some(self, grad_scaler: GradScaler, param_groups: list[str]) -> None:
        """Step some groups, the same in every process."""
        average_gradients([parameter for name in param_groups for parameter in self.parameters[name]])
        super().optimizer_scaler_step_some(grad_scaler, param_groups)  # pyright: ignore[reportArgumentType]


@torch.no_grad()
def average_gradients(parameters: Sequence[Parameter]) -> None:
    """Give parameters the mean of their gradients over all processes; where a process has none, it counts as zero.

    A parameter that has none in any process is left without.

    Args:
        parameters: The same ones in every process.
    """
    known = torch.tensor([parameter.grad is not None for parameter in parameters], device=parameters[0].device)
    grads = [torch.zeros_like(entry) if entry.grad is None else entry.grad for entry in parameters]
    together = torch.cat([known.float(), *[grad.float().flatten() for grad in grads]])
    dist.all_reduce(together)
    counts, *sums = together.split([len(parameters), *[parameter.numel() for parameter in parameters]])
    for parameter, anywhere, total in zip(parameters, (counts > 0).tolist(), sums, strict=True):
        if anywhere:
            parameter.grad = (total / dist.get_world_size()).view_as(parameter).to(parameter.dtype)


@torch.no_grad()
def share_state(module: nn.Module) -> None:
    """Give every process the first one's parameters and buffers."""
    for tensor in (*module.parameters(), *module.buffers()):
        if not tensor.numel():
            continue
        # Not every way of talking between processes knows booleans.
        sent = tensor.detach().to(torch.uint8) if tensor.dtype == torch.bool else tensor.detach().contiguous()
        dist.broadcast(sent, src=0)
        tensor.copy_(sent)
