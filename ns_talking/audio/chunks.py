"""Long sound in overlapping chunks, for networks that read a whole chunk at once: cutting, and joining what comes out.

A chunk is a run of steps. Neighbours share `overlap` steps: at either end of what they share, `edge` steps of the
chunk that ends or begins there are dropped, and in between one fades into the other. So nothing jumps at a cut, and
what a network says close to the end of a chunk, with half its surroundings missing, is heard nowhere but at the ends
of the sound itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Chunking:
    """How long sound is cut, in steps."""

    length: int
    """Steps per chunk; the last one is shorter, but longer than `overlap`."""
    overlap: int
    """Steps that neighbours share."""
    edge: int
    """Steps, at either end of the overlap, that are taken from one chunk alone."""

    def __post_init__(self) -> None:
        if not (0 <= 2 * self.edge <= self.overlap and 2 * self.overlap <= self.length):
            raise ValueError(
                f"Chunks of {self.length} steps cannot overlap by {self.overlap} with edges of {self.edge}: the "
                "overlap holds both edges, and a chunk holds two overlaps."
            )

    def spans(self, num_steps: int) -> Iterator[range]:
        """List the steps of each chunk of a sound."""
        start = 0
        while True:
            end = min(start + self.length, num_steps)
            yield range(start, end)
            if end == num_steps:
                return
            start += self.length - self.overlap

    def joined(
        self, chunks: Iterable[Float[np.ndarray, "steps channels"]]
    ) -> Iterator[Float[np.ndarray, "steps channels"]]:
        """Join the outputs of all chunks, one chunk in memory at a time.

        Args:
            chunks: One table per span, in order.
        """
        ramp = np.linspace(0, 1, self.overlap - 2 * self.edge + 2, dtype=np.float32)[1:-1]
        weight = np.concatenate([np.zeros(self.edge), ramp, np.ones(self.edge)]).astype(np.float32)[:, None]
        previous: np.ndarray | None = None
        for chunk in chunks:
            if previous is not None:
                keep = len(previous) - self.overlap
                yield previous[:keep]
                shared = previous[keep:] * (1 - weight) + chunk[: self.overlap] * weight
                chunk = np.concatenate([shared, chunk[self.overlap :]])
            previous = chunk
        if previous is not None:
            yield previous


def cut_samples(
    blocks: Iterable[Float[np.ndarray, " samples"]], spans: Iterable[range]
) -> Iterator[Float[np.ndarray, " samples"]]:
    """Cut a stream into runs of samples that may overlap, holding no more than one run and one block.

    Args:
        blocks: The stream, in parts of any lengths.
        spans: Samples of each run; each starts after the start of the one before, and no later than its end. Beyond the
            end of the stream there are zeros.
    """
    source = iter(blocks)
    held = np.zeros(0, dtype=np.float32)
    start = 0
    for span in spans:
        held, start = held[span.start - start :], span.start
        while len(held) < len(span):
            block = next(source, None)
            if block is None:
                block = np.zeros(len(span) - len(held), dtype=np.float32)
            held = np.concatenate([held, block.astype(np.float32)])
        yield held[: len(span)]
