"""Record the GPU work of a function once, then replay it without asking Python again."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ns_talking.utils.progress import CONSOLE

Function = Callable[..., tuple[Tensor, ...]]
"""From tensors to tensors. It must not wait for the GPU, and do the same work whatever the tensors hold."""

_WARM_UPS = 3
"""Runs before recording, in which kernels are compiled and memory is found."""


class Replay:
    """Call a function through CUDA graphs: the hundred launches of a small picture cost more than its work.

    A graph belongs to the shapes of the arguments and to where the parameters lie in memory; another picture size or
    parameters that have moved record anew. Elsewhere than on a GPU, and where recording fails, the function is called
    as it is.

    Args:
        function: What to call.
        parameters: Whose parameters and buffers the function reads besides its arguments.
    """

    def __init__(self, function: Function, parameters: list[nn.Module]) -> None:
        self._function = function
        self._parameters = parameters
        self._key: tuple[object, ...] | None = None
        self._static: list[Tensor] = []
        self._run: Callable[[], tuple[Tensor, ...]] | None = None
        self._failed = False

    def __call__(self, *arguments: Tensor) -> tuple[Tensor, ...]:
        """Give what the function gives, in tensors of the caller's own."""
        if self._failed or not on_gpu(arguments[0]):
            return self._function(*arguments)
        key = self._key_of(arguments)
        if key != self._key:
            self._static = [argument.clone() for argument in arguments]
            try:
                self._run = record(self._function, self._static)
            except RuntimeError as error:
                self._failed, self._run, self._static = True, None, []
                CONSOLE.print(f"[yellow]Rendering without CUDA graphs, which is slower: {error}[/yellow]")
                return self._function(*arguments)
            self._key = key
        assert self._run is not None
        for static, argument in zip(self._static, arguments, strict=True):
            static.copy_(argument)
        return tuple(output.clone() for output in self._run())

    def _key_of(self, arguments: tuple[Tensor, ...]) -> tuple[object, ...]:
        shapes = [(argument.shape, argument.dtype, argument.device) for argument in arguments]
        tensors = [tensor for module in self._parameters for tensor in (*module.parameters(), *module.buffers())]
        return (*shapes, *(tensor.data_ptr() for tensor in tensors))


def on_gpu(tensor: Tensor) -> bool:
    """Tell whether work on a tensor can be recorded."""
    return tensor.device.type == "cuda"


def record(function: Function, arguments: list[Tensor]) -> Callable[[], tuple[Tensor, ...]]:
    """Record a function's work on these very tensors; calling the result does it again and gives the outputs."""
    stream = torch.cuda.Stream(arguments[0].device)
    stream.wait_stream(torch.cuda.current_stream(arguments[0].device))
    with torch.cuda.stream(stream):
        for _ in range(_WARM_UPS):
            function(*arguments)
    torch.cuda.current_stream(arguments[0].device).wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    # Other threads, a trainer's say, may use the GPU meanwhile.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        outputs = function(*arguments)

    def run() -> tuple[Tensor, ...]:
        graph.replay()
        return outputs

    return run
