"""Networks of the wav2vec 2.0 family: convolutions over the waveform, then a transformer over their steps."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ns_talking.audio.chunks import cut_samples
from ns_talking.audio.speech_model import STRIDE, Blocks, SpeechModelFeatures


@dataclass(frozen=True)
class WaveformFeatures(SpeechModelFeatures):
    """The last hidden layer of HuBERT or wav2vec 2.0.

    Two things in these networks look at the sound as a whole, and are measured over the whole before any chunk is
    read: the waveform's mean and variance, which all models published with `do_normalize` expect to be 0 and 1, and
    in the base models the group norm behind the first convolution. So neither makes a chunk differ from the whole.
    """

    def _embed(self, network: Any, blocks: Blocks, spans: list[range]) -> Iterator[Float[np.ndarray, "steps channels"]]:
        receptive, stride = receptive_field(network.config)
        if stride != STRIDE or network.config.hidden_size != self.channels:
            raise ValueError(
                f"{self.model.repository} has a step every {stride} samples and {network.config.hidden_size} channels, "
                f"expected {STRIDE} and {self.channels}. Use the published model."
            )
        mean, scale = _standard(blocks())
        num_samples = STRIDE * (spans[-1].stop - 1) + receptive

        def centred() -> Iterator[np.ndarray]:
            """Standardised samples behind so many zeros that a step's samples lie evenly around its instant."""
            standard = ((block - mean) * scale for block in blocks())
            return itertools.chain([np.zeros(receptive // 2, np.float32)], standard)

        _fix_group_norm(network, centred, num_samples)
        runs = (range(STRIDE * span.start, STRIDE * (span.stop - 1) + receptive) for span in spans)
        for samples in cut_samples(centred(), runs):
            hidden = network(torch.from_numpy(samples)[None].to(network.device)).last_hidden_state
            yield hidden[0].float().cpu().numpy()


def receptive_field(config: Any) -> tuple[int, int]:  # Any: transformers' configuration.
    """Compute how many samples a step of the convolutions sees, and how many lie between two steps."""
    receptive, stride = 1, 1
    for kernel, step in zip(config.conv_kernel, config.conv_stride, strict=True):
        receptive, stride = receptive + (kernel - 1) * stride, stride * step
    return receptive, stride


def _standard(blocks: Iterable[Float[np.ndarray, " samples"]]) -> tuple[float, float]:
    """Measure the mean of a stream and one over its standard deviation; silence has variance 1e-7, as in training."""
    count, total, squares = 0, 0.0, 0.0
    for block in blocks:
        exact = block.astype(np.float64)
        count, total, squares = count + len(block), total + exact.sum(), squares + np.square(exact).sum()
    mean = total / max(count, 1)
    return mean, 1 / math.sqrt(max(squares / max(count, 1) - mean**2, 0) + 1e-7)


class _MeasuredNorm(nn.Module):
    """A group norm with one channel per group, whose statistics were measured beforehand."""

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        self.norm = norm
        self.mean = torch.zeros(norm.num_channels, 1)
        self.spread = torch.ones(norm.num_channels, 1)

    def forward(self, hidden: Float[Tensor, "batch channels steps"]) -> Float[Tensor, "batch channels steps"]:
        weight, bias = self.norm.weight[:, None], self.norm.bias[:, None]
        return (hidden - self.mean) / self.spread * weight + bias


def _fix_group_norm(network: Any, blocks: Blocks, num_samples: int) -> None:
    """Measure what the base models' group norm would measure over the whole sound, and hold it fixed."""
    first = network.feature_extractor.conv_layers[0]
    norm = getattr(first, "layer_norm", None)
    if isinstance(norm, _MeasuredNorm):
        norm = norm.norm
    if not isinstance(norm, nn.GroupNorm):
        return
    kernel, stride = first.conv.kernel_size[0], first.conv.stride[0]
    num_steps = (num_samples - kernel) // stride + 1
    at_once = 100 * STRIDE
    total = torch.zeros(norm.num_channels, dtype=torch.float64, device=network.device)
    squares = torch.zeros_like(total)
    starts = range(0, num_steps, at_once)
    runs = (range(stride * at, stride * (min(at + at_once, num_steps) - 1) + kernel) for at in starts)
    for samples in cut_samples(blocks(), runs):
        hidden = first.conv(torch.from_numpy(samples)[None, None].to(network.device))[0].double()
        total += hidden.sum(dim=1)
        squares += hidden.square().sum(dim=1)
    measured = _MeasuredNorm(norm)
    mean = total / num_steps
    measured.mean = mean.float()[:, None]
    measured.spread = (squares / num_steps - mean.square()).clamp(min=0).add(norm.eps).sqrt().float()[:, None]
    first.layer_norm = measured
