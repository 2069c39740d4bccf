"""How fast this machine is at the moment, next to the one on which targets in seconds were set.

The yardstick is the tri-plane encoding of 16,384 points, forward and backward, written as one writes it first: loops
over planes, levels and corners in plain PyTorch. The quiet two-core Zen 4 of the targets takes 52.9 ms for it (0.31
million points a second). A time that was taken between two looks at the yardstick says what that machine would need.

That is a ratio of different kinds of work: on a shared Zen 3, four ways of encoding took 2.1 to 2.7 times as long as
there (the loop itself 2.3), so a tenth more or less means nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from ns_talking.kernels.grid_geometry import PRIMES, GridGeometry
from ns_talking.kernels.triplane_encoding import PLANES

REFERENCE_MS = 52.9
"""Of the machine of the targets, with two threads."""
NUM_POINTS = 16_384


def looped_encoding(points: Tensor, tables: Tensor, geometry: GridGeometry, lookup: str = "index") -> Tensor:
    """Tri-plane encoding as one writes it first: loops over planes, levels and corners."""
    features = []
    for axes, table in zip(PLANES, tables, strict=True):
        for level in range(geometry.num_levels):
            position = points[:, list(axes)] * geometry.scales[level] + 0.5
            cell = position.floor()
            fraction, cell = position - cell, cell.long()
            feature = points.new_zeros(len(points), geometry.features_per_level)
            for x in (0, 1):
                for y in (0, 1):
                    if geometry.hashed[level]:
                        row = (cell[:, 0] + x) * PRIMES[0] ^ (cell[:, 1] + y) * PRIMES[1] & 0xFFFFFFFF
                    else:
                        row = cell[:, 0] + x + (cell[:, 1] + y) * geometry.strides[level][1]
                    row = row % geometry.level_entries[level] + geometry.offsets[level]
                    weight = (fraction[:, 0] if x else 1 - fraction[:, 0]) * (
                        fraction[:, 1] if y else 1 - fraction[:, 1]
                    )
                    value = table[row] if lookup == "index" else F.embedding(row, table)
                    feature = feature + weight[:, None] * value
            features.append(feature)
    return torch.cat(features, dim=1)


@dataclass
class Yardstick:
    """The encoding, ready to be timed again and again."""

    threads: int
    """Of PyTorch while it runs."""
    clock: Callable[[], float] = time.perf_counter
    _work: Callable[[], None] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Make points and tables, and run once so that the first look is like the others."""
        # ER-NeRF's planes, whatever the method's own become: a yardstick stays as it is.
        geometry = GridGeometry(2, 12, 1, 64, 512, 14, "hash")
        generator = torch.Generator().manual_seed(0)
        points = torch.rand(NUM_POINTS, 3, generator=generator)
        tables = torch.rand(3, geometry.num_entries, geometry.features_per_level, generator=generator)
        tables.requires_grad_()
        grad = torch.randn(NUM_POINTS, 3 * geometry.output_dim, generator=generator)

        def work() -> None:
            tables.grad = None
            with torch.enable_grad():
                looped_encoding(points, tables, geometry).backward(grad)

        self._work = work
        self.look()

    def look(self) -> float:
        """Take the time of one run, in milliseconds."""
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        start = self.clock()
        self._work()
        taken = self.clock() - start
        torch.set_num_threads(before)
        return 1e3 * taken


def on_reference(taken: float, yardstick_ms: float) -> float:
    """Tell what the machine of the targets would need for what took a time here."""
    return taken * REFERENCE_MS / yardstick_ms
