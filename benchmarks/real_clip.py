"""How well a trained portrait speaks in frames it was not trained on: the acceptance table of a real clip.

```
python benchmarks/real_clip.py --load-config outputs/broadcast/er-nerf/DATE/config.yml
```

Renders the frames that the training's config holds out (test, or the validation part of the training frames) with the
clip's own sound and with sound that does not belong there, finds landmarks in rendered and real frames alike, both
enlarged to 512 px, and writes a record, a contact sheet and a plot of the lips' opening.
"""

from __future__ import annotations

import datetime
import platform
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np
import torch
import tyro
from audio_controls import CONTROLS, edited
from clip_baselines import baseline_images
from clip_pages import write_contact_sheet, write_plot

from ns_talking.data.format import HEAD_REGIONS
from ns_talking.data.landmarks import aperture, eye_opening, mouth_box, scheme
from ns_talking.data.portrait_dataset import PortraitDataset
from ns_talking.metrics.aperture import best_lag, bootstrap_interval, correlation, rolled_correlations, spread_ratio
from ns_talking.metrics.landmark_distance import lip_landmark_distance
from ns_talking.process.landmark_detectors import MediaPipeDetector
from ns_talking.rendering.layers import premultiplied_over
from ns_talking.scripts.loading import load_portrait
from ns_talking.utils.files import write_json
from ns_talking.utils.progress import CONSOLE, progress

if TYPE_CHECKING:
    from ns_talking.pipelines.portrait import PortraitPipeline

SIZE_PX = 512
"""Landmarks are found at this width, whatever the working size."""
LAYOUT = scheme(MediaPipeDetector.scheme)
Behind = Literal["real", "own"]
Figures = dict[str, Any]  # Any: numbers, and pairs of them.


@dataclass
class RealClip:
    """Measure a trained portrait on the frames that its training held out."""

    load_config: Path
    """config.yml of the training, or its folder."""
    behind: tuple[Behind, ...] = ("real", "own")
    """What is seen behind the rendered head: the real torso of the frame, or the portrait's own."""
    controls: tuple[str, ...] = CONTROLS
    """Sound that does not belong to the frames."""
    use_baselines: bool = True
    """Whether images that know nothing about the sound are measured as well."""
    data: Path | None = None
    """The dataset, where it was moved."""
    models: Path | None = None
    """Folder of face_landmarker.task; otherwise NS_TALKING_MODELS or the cache."""
    output: Path | None = None
    """JSON record; the contact sheet and the plot lie beside it. Default: benchmarks/results."""

    def main(self) -> None:
        """Render, measure, print and write."""
        pipeline = load_portrait(self.load_config, self.data)
        dataset = pipeline.datamanager.eval_dataset
        with MediaPipeDetector(self.models) as detector:
            clip = HeldOut.read(dataset, detector)
            record = {**_circumstances(pipeline, self.load_config), "floor": clip.floor()}
            if self.use_baselines:
                record["baselines"] = _baselines(pipeline, clip, detector)
            record |= self._measure(pipeline, clip, detector)
        output = self._output()
        write_json(output, record)
        CONSOLE.print(f"Wrote {output} and its pictures.")

    def _measure(self, pipeline: PortraitPipeline, clip: HeldOut, detector: MediaPipeDetector) -> Figures:
        started = time.perf_counter()
        images = render(pipeline, self.behind)
        ms_per_frame = 1000 * (time.perf_counter() - started) / len(clip.images)
        measured: Figures = {}
        stem = self._output().with_suffix("")
        for behind, own in images.items():
            points = find_landmarks(detector, own, f"true sound, {behind} torso")
            true = {**clip.figures(own, points), **clip.curves(points), "ms_per_frame": ms_per_frame}
            measured[f"{behind} torso"] = {"true": true, "controls": {}}
            write_contact_sheet(stem.with_name(f"{stem.name}_{behind}.png"), clip.images, own, clip.opening)
            write_plot(stem.with_name(f"{stem.name}_{behind}_aperture.png"), clip.opening, aperture(points, LAYOUT))
        for name in self.controls:
            for behind, own in render(pipeline, self.behind, name).items():
                points = find_landmarks(detector, own, f"{name} sound, {behind} torso")
                measured[f"{behind} torso"]["controls"][name] = clip.figures(own, points)
        for title, figures in measured.items():
            print_table(f"{title} behind the head, {len(clip.images)} frames", figures)
        return measured

    def _output(self) -> Path:
        if self.output is not None:
            return self.output
        run = self.load_config if self.load_config.is_dir() else self.load_config.parent
        return Path(__file__).parent / "results" / f"real_clip_{run.resolve().name}.json"


@dataclass(frozen=True)
class HeldOut:
    """The real frames, what is measured in them, and where."""

    images: np.ndarray
    """uint8 [frames, height, width, 3]."""
    head: np.ndarray
    """bool [frames, height, width]."""
    mouth: np.ndarray
    """int [frames, 4], pixel box: `mouth_box` of the dataset's landmarks, rounded outwards."""
    points: np.ndarray
    """Landmarks of the real frames at the working size, enlarged as the rendered ones are."""
    original: np.ndarray
    """Landmarks of the dataset, found at its own size."""
    opening: np.ndarray
    """Aperture of the real frames."""

    @classmethod
    def read(cls, dataset: PortraitDataset, detector: MediaPipeDetector) -> HeldOut:
        """Read the frames and find their landmarks."""
        frames = [dataset.frame(row) for row in range(len(dataset))]
        images = np.stack([frame.image for frame in frames])
        points = find_landmarks(detector, images, "real frames")
        portrait = dataset.portrait
        tracked = portrait.landmarks[[frame.index for frame in dataset.frames]]
        scale = dataset.width / portrait.width
        box = mouth_box(tracked, scheme(portrait.landmark_scheme)) * scale
        box = np.concatenate([np.floor(box[:, :2]), np.ceil(box[:, 2:])], axis=1)
        limits = [dataset.width, dataset.height, dataset.width, dataset.height]
        return cls(
            images=images,
            head=np.stack([np.isin(frame.parsing, HEAD_REGIONS) for frame in frames]),
            mouth=np.clip(box, 0, limits).astype(int),
            points=points,
            original=tracked * (SIZE_PX / portrait.width) if portrait.landmark_scheme == LAYOUT.name else points,
            opening=aperture(points, LAYOUT),
        )

    def figures(self, images: np.ndarray, points: np.ndarray) -> Figures:
        """Measure images of any origin: PSNR in dB as the mean over frames, lips in px and as curves."""
        error = ((images.astype(np.float64) - self.images) / 255) ** 2
        head = [_psnr(one[mask]) for one, mask in zip(error, self.head, strict=True)]
        mouth = [_psnr(one[y0:y1, x0:x1]) for one, (x0, y0, x1, y1) in zip(error, self.mouth, strict=True)]
        return {
            "psnr": float(np.mean([_psnr(one) for one in error])),
            "head_psnr": float(np.mean(head)),
            "mouth_psnr": float(np.mean(mouth)),
            "aperture_correlation": correlation(aperture(points, LAYOUT), self.opening),
            "aperture_spread": spread_ratio(aperture(points, LAYOUT), self.opening),
            "lmd": float(np.nanmean(lip_landmark_distance(points, self.points, LAYOUT))),
            "lmd_placed": float(np.nanmean(lip_landmark_distance(points, self.points, LAYOUT, centred=False))),
            "missed_faces": int(np.isnan(points[:, 0, 0]).sum()),
        }

    def curves(self, points: np.ndarray) -> Figures:
        """Judge the curves of the frames with the true sound more closely."""
        found, eyes = aperture(points, LAYOUT), eye_opening(points, LAYOUT)
        lag, at_lag = best_lag(found, self.opening)
        null = rolled_correlations(found, self.opening)
        real_eyes = eye_opening(self.points, LAYOUT)
        return {
            "aperture_interval": bootstrap_interval(found, self.opening),
            "best_lag": lag,
            "correlation_at_best_lag": at_lag,
            "roll_null_95": float(np.quantile(null, 0.95)) if len(null) else float("nan"),
            "roll_null_max": float(null.max()) if len(null) else float("nan"),
            "eye_correlation": correlation(eyes, real_eyes),
            "eye_spread": spread_ratio(eyes, real_eyes),
        }

    def floor(self) -> Figures:
        """Measure what the working size alone costs: landmarks of small real frames against those of the originals."""
        return {
            "aperture_correlation": correlation(self.opening, aperture(self.original, LAYOUT)),
            "lmd": float(np.nanmean(lip_landmark_distance(self.points, self.original, LAYOUT))),
        }


@torch.no_grad()
def render(
    pipeline: PortraitPipeline, behind: tuple[Behind, ...], control: str | None = None
) -> dict[Behind, np.ndarray]:
    """Render the held-out frames.

    Args:
        pipeline: The trained portrait.
        behind: What is seen behind the head; one set of images for each.
        control: Sound to drive them with; None is the clip's own.

    Returns:
        uint8 [frames, height, width, 3] for each `behind`.
    """
    model, dataset = pipeline.portrait_model.eval(), pipeline.datamanager.eval_dataset
    track = pipeline.clip_track
    if control is not None:
        first, last = dataset.frames[0].index, dataset.frames[-1].index + 1
        mean = model.audio_code.mean.cpu().numpy()
        features = edited(track.features, control, first / track.fps, last / track.fps, mean)
        model.track = replace(track, features=features)
    images: dict[Behind, list[np.ndarray]] = {name: [] for name in behind}
    with progress(f"Rendering, {control or 'true'} sound", total=len(dataset), unit="frames") as advance:
        for row in range(len(dataset)):
            outputs = model.get_outputs_for_camera(dataset.cameras[row : row + 1])
            for name in behind:
                rgb = outputs["rgb"]
                if name == "real":
                    real = torch.from_numpy(dataset.frame(row).behind.astype(np.float32) / 255).to(rgb.device)
                    rgb = premultiplied_over(outputs["head_rgb"], outputs["accumulation"], real)
                images[name].append((rgb.clamp(0, 1) * 255).round().byte().cpu().numpy())
            advance()
    model.track = track
    return {name: np.stack(frames) for name, frames in images.items()}


def find_landmarks(detector: MediaPipeDetector, images: np.ndarray, what: str) -> np.ndarray:
    """Find the landmarks of images enlarged to `SIZE_PX`; NaN where there is no face."""
    found = np.full((len(images), LAYOUT.num_points, 3), np.nan)
    size = SIZE_PX, round(SIZE_PX * images.shape[1] / images.shape[2])
    with progress(f"Landmarks, {what}", total=len(images), unit="frames") as advance:
        for row, image in enumerate(images):
            faces = detector.detect(cv2.resize(image, size, interpolation=cv2.INTER_CUBIC))
            if faces:
                found[row] = faces[0].points
            advance()
    return found


def print_table(title: str, measured: Figures) -> None:
    """Print the demands on a portrait of this clip with what was reached."""
    true, controls = measured["true"], measured["controls"]
    others = [figures["aperture_correlation"] for figures in controls.values()]
    rows = [
        ("head PSNR, dB", true["head_psnr"], ">=", 28.5),
        ("mouth box PSNR, dB", true["mouth_psnr"], ">=", 28.3),
        ("aperture correlation", true["aperture_correlation"], ">=", 0.50),
        ("aperture spread / real", true["aperture_spread"], ">=", 0.45),
        ("best lag, frames (absolute)", abs(true["best_lag"]), "<=", 1),
        ("LMD, px at 512", true["lmd"], "<=", 1.80),
        ("eye opening correlation", true["eye_correlation"], ">=", 0.80),
        ("eye opening spread / real", true["eye_spread"], ">=", 0.50),
    ]
    if "shift" in controls:
        shift = controls["shift"]
        rows.append(("mouth PSNR, true - shifted, dB", true["mouth_psnr"] - shift["mouth_psnr"], ">=", 1.0))
        gap = true["aperture_correlation"] - shift["aperture_correlation"]
        rows.append(("correlation, true - shifted", gap, ">=", 0.40))
    if controls:
        rows.append(("largest absolute correlation, controls", max(map(abs, others)), "<=", 0.30))
        nearest = min(figures["lmd"] for figures in controls.values())
        rows.append(("LMD, true - best control, px", true["lmd"] - nearest, "<=", 0.0))
    print(title)
    for name, value, relation, demand in rows:
        met = value >= demand if relation == ">=" else value <= demand
        print(f"  {name:<40} {value:8.3f}   {relation} {demand:<5}  {'met' if met else 'MISSED'}")
    low, high = true["aperture_interval"]
    print(f"  aperture correlation, 95 % of block bootstraps: {low:.2f} to {high:.2f}; rolled at most", end=" ")
    print(f"{true['roll_null_max']:.2f}; missed faces {true['missed_faces']}; {true['ms_per_frame']:.0f} ms per frame")
    for name, figures in controls.items():
        print(
            f"  {name:<9} correlation {figures['aperture_correlation']:6.3f}  mouth {figures['mouth_psnr']:.2f} dB  "
            f"LMD {figures['lmd']:.2f} px  spread {figures['aperture_spread']:.2f}"
        )


def _baselines(pipeline: PortraitPipeline, clip: HeldOut, detector: MediaPipeDetector) -> Figures:
    train, test = pipeline.datamanager.train_dataset, pipeline.datamanager.eval_dataset
    images = list(baseline_images(train, test, scheme(train.portrait.landmark_scheme)))
    print("Baselines")
    measured = {}
    for name in images[0]:
        own = np.stack([np.clip(np.rint(row[name]), 0, 255).astype(np.uint8) for row in images])
        measured[name] = clip.figures(own, find_landmarks(detector, own, name))
        figures = measured[name]
        print(f"  {name:<24} head {figures['head_psnr']:.2f} dB  mouth {figures['mouth_psnr']:.2f} dB", end="  ")
        print(f"LMD {figures['lmd']:.2f} px  aperture correlation {figures['aperture_correlation']:.2f}")
    return measured


def _psnr(squared_error: np.ndarray) -> float:
    return float(-10 * np.log10(max(float(squared_error.mean()), 1e-10)))


def _circumstances(pipeline: PortraitPipeline, config: Path) -> Figures:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False, cwd=Path(__file__).parent
    )
    dataset = pipeline.datamanager.eval_dataset
    return {
        "benchmark": "real_clip",
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": commit.stdout.strip(),
        "device": str(pipeline.device),
        "machine": f"{platform.system()} {platform.machine()}",
        "torch": torch.__version__,
        "run": "/".join(config.resolve().parts[-4:-1]),
        "frames": [dataset.frames[0].index, dataset.frames[-1].index],
        "size": [dataset.width, dataset.height],
    }


if __name__ == "__main__":
    tyro.cli(RealClip).main()
