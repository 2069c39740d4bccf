"""How long trained portraits take for a frame, each against the first: heads drawn in turns in one process.

    python benchmarks/frame_ratio.py outputs/clip/er-nerf/DATE outputs/clip/er-nerf++/DATE [--frames 40]

Both draw the same held-out frames one after the other, so that a busy machine slows both alike; the ratio is the median
over frames. Milliseconds are the processor's time; the yardstick, looked at before each frame, says what the machine of
the targets would need.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from yardstick import Yardstick, on_reference

from ns_talking.scripts.loading import load_portrait


@dataclass
class FrameRatio:
    """Time the frames of trained portraits against each other."""

    configs: tyro.conf.Positional[tuple[Path, ...]]
    """config.yml of each training, or its folder."""
    frames: int = 40
    """Held-out frames, spread evenly."""
    threads: int = 1
    """Of PyTorch and of Numba."""

    def main(self) -> None:
        """Draw and print."""
        import numba

        torch.set_num_threads(self.threads)
        numba.set_num_threads(self.threads)
        pipelines = [load_portrait(config) for config in self.configs]
        cameras = [pipeline.datamanager.eval_dataset.cameras for pipeline in pipelines]
        rows = torch.linspace(0, len(cameras[0]) - 1, self.frames).round().int().unique().tolist()
        taken: list[list[float]] = [[] for _ in pipelines]
        yardstick, looks = Yardstick(self.threads, time.process_time), []
        for row in [rows[0], *rows]:  # The first frame compiles.
            looks.append(yardstick.look())
            for pipeline, views, times in zip(pipelines, cameras, taken, strict=True):
                started = time.process_time()
                pipeline.portrait_model.eval().get_outputs_for_camera(views[row : row + 1])
                if torch.cuda.is_available():
                    torch.cuda.synchronize()
                times.append(time.process_time() - started)
        taken = [times[1:] for times in taken]
        for config, times in zip(self.configs, taken, strict=True):
            ratio = statistics.median(one / base for one, base in zip(times, taken[0], strict=True))
            here_ms = 1000 * statistics.median(times)
            there_ms = on_reference(here_ms, statistics.median(looks))
            print(f"{here_ms:8.1f} ms here  {there_ms:8.1f} ms there  {ratio:5.2f}x the first  {config}")


if __name__ == "__main__":
    tyro.cli(FrameRatio).main()
