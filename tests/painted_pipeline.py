"""A portrait that paints what drives it, and a pipeline around it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from nerfstudio.cameras.cameras import Cameras

from ns_talking.audio.mel import MelFeatures
from ns_talking.driving.track import DrivingTrack, driven

WIDTH, HEIGHT, CLIP_FRAMES = 40, 30, 20


class PaintedModel:
    """Red is the camera's place, green the loudness at the camera's time, blue the background."""

    def __init__(self) -> None:
        self.background = np.zeros((1, 1, 3), np.uint8)
        self.track: DrivingTrack
        self.cameras: list[Cameras] = []

    def set_background(self, image: np.ndarray) -> None:
        self.background = image

    def get_outputs_for_camera(self, camera: Cameras) -> dict[str, torch.Tensor]:
        assert camera.shape == (1,)
        assert camera.times is not None
        self.cameras.append(camera)
        condition = self.track.at(camera.times)
        assert torch.equal(condition.head_pose, camera.camera_to_worlds)
        rgb = torch.zeros(int(camera.height), int(camera.width), 3)
        rgb[..., 0] = camera.camera_to_worlds[0, 0, 3] / CLIP_FRAMES
        rgb[..., 1] = (condition.audio[0, 4].max() + 8) / 8
        rgb[..., 2] = self.background.mean() / 255
        rows, columns = torch.meshgrid(torch.arange(rgb.shape[0]), torch.arange(rgb.shape[1]), indexing="ij")
        head = ((rows < rgb.shape[0] // 2).float() * (columns / rgb.shape[1]).clamp(0, 1))[..., None]
        torso = (rows >= rgb.shape[0] // 2).float()[..., None].expand(-1, -1, 1)
        layers = {"head_rgb": head * torch.tensor([1.0, 0.5, 0.0]), "torso_rgb": torch.ones_like(rgb) * 0.25}
        return {"rgb": rgb, "accumulation": head, "torso_alpha": torso, **layers}


class PaintedPipeline:
    def __init__(self) -> None:
        poses = np.tile(np.eye(4), (CLIP_FRAMES, 1, 1))
        poses[:, 0, 3] = np.arange(CLIP_FRAMES)
        clip_sound = MelFeatures().extract_blocks(iter([np.zeros(16000, np.float32)]))
        self.clip_track = DrivingTrack(clip_sound, np.zeros(CLIP_FRAMES, np.float32), poses)
        self.model = self.portrait_model = PaintedModel()
        cameras = Cameras(torch.eye(4)[None, :3], 60.0, 60.0, WIDTH / 2, HEIGHT / 2, WIDTH, HEIGHT)
        self.datamanager = SimpleNamespace(train_dataset=SimpleNamespace(cameras=cameras))
        self.feature_file: Path | None = None
        self.model.portrait = SimpleNamespace(folder=Path("nowhere"))
        self.clip = SimpleNamespace(digest="of the clip")
        self.audio = self.checkpoint = None

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {"colour": torch.zeros(3)}

    def set_audio(
        self,
        path: Path,
        pose: str,
        *,
        output: Path,
        start_frame: int | None,
        silence: str,
        features: Path | None,
    ) -> DrivingTrack:
        self.silence, self.handed_over = silence, features
        self.feature_file, self.audio = output, path
        table = MelFeatures().extract(path, output)
        assert isinstance(table.values, np.memmap)
        self.model.track = driven(self.clip_track, table, pose=pose, start_frame=start_frame)  # type: ignore[arg-type]
        return self.model.track
