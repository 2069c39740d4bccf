"""Memory does not hold the frames of a row, however long it is."""

from __future__ import annotations

import gc
import tracemalloc
from pathlib import Path

import numpy as np

from ns_talking.data.landmarks import scheme
from ns_talking.evaluation.measuring import RowMeter
from ns_talking.metrics.base import MeasuredFrame, MetricContext, Picture

SIZE_PX = 96
METRICS = (
    "psnr",
    "lmd",
    "aperture",
    "eyes",
    "closures",
    "blendshapes",
    "lip_sound",
    "silence",
    "stability",
    "likeness",
)


def frame(number: int) -> MeasuredFrame:
    generator = np.random.default_rng(number)
    angle = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    circle = np.stack([256 + 150 * np.cos(angle), 256 + 150 * np.sin(angle), 0 * angle], axis=1)

    def picture() -> Picture:
        image = generator.integers(0, 255, (SIZE_PX, SIZE_PX, 3), dtype=np.uint8)
        points = (circle + generator.normal(0, 2, (68, 3))).astype(np.float32)
        return Picture(image, points, generator.uniform(0, 1, 52).astype(np.float32))

    mask = np.ones((SIZE_PX, SIZE_PX), dtype=bool)
    return MeasuredFrame(number, number, picture(), picture(), mask, np.array([20, 20, 60, 60]), mask)


def test_a_frame_that_was_measured_is_let_go(tmp_path: Path) -> None:
    context = MetricContext(scheme("ibug68"), landmarks="painted", sound=tmp_path / "none.wav")
    meter = RowMeter(METRICS, context, False, {})
    held = []
    tracemalloc.start()
    try:
        for number in range(120):
            meter.add(frame(number))
            if number in (19, 119):
                gc.collect()
                held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    # Landmarks may stay, about a kilobyte; one picture takes 27.
    assert (held[1] - held[0]) / 100 < 6_000
