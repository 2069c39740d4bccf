"""Sizes of a multiresolution grid: one source for the definition and for every twin."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

PRIMES = (1, 2_654_435_761, 805_459_861)
"""Factors of the spatial hash, one per axis (Instant-NGP, equation 4)."""


@dataclass(frozen=True)
class GridGeometry:
    """Levels of a multiresolution grid whose resolutions grow geometrically from the base to the finest.

    A level with real-valued resolution N covers [0, 1] with cells of width 1 / (N - 1) and places coordinate u at
    `u * scale + 0.5` with scale = N - 1, so corners have integer coordinates in [0, ceil(N)]. It stores one entry
    per corner where they fit into 2^log2_table_size entries. Where they do not, corners share entries:

    * "hash": XOR of the corner coordinates times `PRIMES` (uint32), modulo the entries of the level;
    * "tiled": row-major index modulo the entries of the level, over the axes whose stride is not larger than them.
      Published tiled grids leave the other axes out, so their weights mean the same thing here.

    Source:
        Instant neural graphics primitives (Müller et al., SIGGRAPH 2022), section 3; RAD-NeRF (2022) and
        ER-NeRF (ICCV 2023) for the sizes.
    """

    dimensions: Literal[2, 3]
    num_levels: int
    features_per_level: int
    base_resolution: int
    finest_resolution: int
    log2_table_size: int
    kind: Literal["hash", "tiled"] = "hash"

    def __post_init__(self) -> None:
        if self.dimensions not in (2, 3):
            raise ValueError(f"A grid has 2 or 3 dimensions, found {self.dimensions}.")
        if self.kind not in ("hash", "tiled"):
            raise ValueError(f"A grid's kind is 'hash' or 'tiled', found {self.kind!r}.")
        if self.num_levels < 1 or self.features_per_level < 1:
            raise ValueError(
                f"A grid needs at least one level and one feature per level, found num_levels={self.num_levels} and "
                f"features_per_level={self.features_per_level}."
            )
        if not 2 <= self.base_resolution <= self.finest_resolution:
            raise ValueError(
                f"Grid resolutions grow from base_resolution >= 2 to finest_resolution, found {self.base_resolution} "
                f"and {self.finest_resolution}."
            )
        if not 3 <= self.log2_table_size <= 24:
            raise ValueError(f"log2_table_size lies in [3, 24], found {self.log2_table_size}.")

    @cached_property
    def growth(self) -> float:
        """Ratio of the resolutions of consecutive levels."""
        if self.num_levels == 1:
            return 1.0
        return (self.finest_resolution / self.base_resolution) ** (1.0 / (self.num_levels - 1))

    @cached_property
    def real_resolutions(self) -> tuple[float, ...]:
        """Resolution of every level before rounding up. Integers that floating point misses by a hair are restored."""
        values = [self.base_resolution * self.growth**level for level in range(self.num_levels)]
        return tuple(float(round(value)) if abs(value - round(value)) < 1e-6 else value for value in values)

    @cached_property
    def resolutions(self) -> tuple[int, ...]:
        """Resolution of every level, rounded up."""
        return tuple(math.ceil(value) for value in self.real_resolutions)

    @cached_property
    def scales(self) -> tuple[float, ...]:
        """Cells per unit of every level. Each is exactly a float32, so that every backend finds the same cell."""
        return tuple(float(np.float32(value - 1.0)) for value in self.real_resolutions)

    @cached_property
    def level_entries(self) -> tuple[int, ...]:
        """Entries of every level, a multiple of 8."""
        table_size = 1 << self.log2_table_size
        return tuple(-(-min(table_size, (side + 1) ** self.dimensions) // 8) * 8 for side in self.resolutions)

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """First entry of every level in the table, and the end of the last."""
        ends = [0]
        for entries in self.level_entries:
            ends.append(ends[-1] + entries)
        return tuple(ends)

    @cached_property
    def strides(self) -> tuple[tuple[int, ...], ...]:
        """Row-major stride of every axis at every level; 0 where an axis is left out of a tiled level."""
        return tuple(
            tuple((side + 1) ** axis if (side + 1) ** axis <= entries else 0 for axis in range(self.dimensions))
            for side, entries in zip(self.resolutions, self.level_entries, strict=True)
        )

    @cached_property
    def hashed(self) -> tuple[bool, ...]:
        """Which levels find their entries through the hash."""
        return tuple(
            self.kind == "hash" and (side + 1) ** self.dimensions > entries
            for side, entries in zip(self.resolutions, self.level_entries, strict=True)
        )

    @cached_property
    def masks(self) -> tuple[int, ...]:
        """What an index is masked with at every level, as int32: -1 where every corner has its own entry.

        Where corners share entries, their number is a power of two, so that the mask is its modulo.
        """
        return tuple(
            entries - 1 if (side + 1) ** self.dimensions > entries else -1
            for side, entries in zip(self.resolutions, self.level_entries, strict=True)
        )

    @property
    def num_entries(self) -> int:
        """Entries of all levels: rows of the table."""
        return self.offsets[-1]

    @property
    def output_dim(self) -> int:
        """Features of one encoded point."""
        return self.num_levels * self.features_per_level
