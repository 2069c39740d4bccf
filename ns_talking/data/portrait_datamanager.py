"""Rays and pixels for training and evaluation: a few frames per step, decoded when they are needed.

A ray carries its time and its frame's index; the model looks up audio, blink and head pose once per frame.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import UInt8
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.data.datamanagers.base_datamanager import VanillaDataManager, VanillaDataManagerConfig
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from nerfstudio.data.utils.dataloaders import FixedIndicesEvalDataloader, RandIndicesEvalDataloader

from ns_talking.data.device_frames import DeviceFrames, fit_on_gpu
from ns_talking.data.face_boxes import FaceBoxes, face_boxes, inside
from ns_talking.data.frame_store import GIB, FrameStore, classes_of, regions_of
from ns_talking.data.pixel_samplers import (
    ClassBudget,
    LipsPixelSamplerConfig,
    MouthPixelSamplerConfig,
    PickedPixels,
    PixelGroup,
    PortraitPixelSampler,
    PortraitPixelSamplerConfig,
    UniformPixelSamplerConfig,
)
from ns_talking.data.portrait_dataset import DEFAULT_CACHE_GIB, PortraitDataset
from ns_talking.data.rays import PinholeRays
from ns_talking.utils.device import upload
from ns_talking.utils.files import absolute_path

Phase = Literal["head", "lips", "torso"]


@dataclass
class PortraitDataManagerConfig(VanillaDataManagerConfig):
    """How frames and pixels of a portrait reach the model."""

    _target: type = field(default_factory=lambda: PortraitDataManager)
    working_size: int | None = None
    """Longer side of the frames in px; larger ones are scaled down once. None keeps the stored size."""
    frames_per_batch: int = 8
    """Distinct frames in a step. More frames show the audio encoder more sounds, fewer cost less encoding."""
    cache_gib: float = DEFAULT_CACHE_GIB
    """Room for decoded frames in GiB (8 bytes per pixel), in a temporary file, which the system keeps in memory while
    it can; frames beyond it are decoded again."""
    gpu_share: float = 0.5
    """Share of the GPU's free memory that the training frames may take, at 8 bytes per pixel. Where all of them fit
    they stay there; where they do not, the pixels of every step are copied."""
    seed: int | None = None
    """Of the pixel samplers; None derives it from the run's seed (--machine.seed)."""
    pixel_sampler: PortraitPixelSamplerConfig = field(default_factory=MouthPixelSamplerConfig)
    """Pixels of the head phase."""
    lips_sampler: PortraitPixelSamplerConfig = field(default_factory=LipsPixelSamplerConfig)
    """Pixels of the lips phase."""
    torso_sampler: PortraitPixelSamplerConfig = field(default_factory=UniformPixelSamplerConfig)
    """Pixels of the torso phase."""
    face_classes: bool = False
    """Whether pixels carry one of the eleven classes of SSP-NeRF, drawn from landmarks where the dataset has none."""
    torso_num_rays_per_batch: int | None = None
    """Rays per step of the torso phase, which are far cheaper; None takes as many as in the head phase."""

    def __setattr__(self, name: str, value: Any) -> None:  # Any: whatever the field holds.
        """Keep the dataset's path absolute, so that a saved config works from every folder."""
        super().__setattr__(name, absolute_path(value) if name == "data" else value)

    def check_dataset(self) -> None:
        """Read what describes the training frames, and forget it: a dataset that is none is known at once.

        Raises:
            FileNotFoundError: When there is no dataset where `data` says.
            ValueError: When it is broken.
        """
        parser = self.dataparser if self.data is None else replace(self.dataparser, data=self.data)
        parser.setup().get_dataparser_outputs(split="train")


class PortraitDataManager(VanillaDataManager[PortraitDataset]):
    """Serves a portrait to Nerfstudio's trainer and tools.

    `phase` chooses the pixel sampler of the next training step; the pipeline sets it.
    """

    config: PortraitDataManagerConfig
    train_dataset: PortraitDataset
    eval_dataset: PortraitDataset

    def __init__(
        self,
        config: PortraitDataManagerConfig,
        device: torch.device | str = "cpu",
        test_mode: Literal["test", "val", "inference"] = "val",
        world_size: int = 1,
        local_rank: int = 0,
        **kwargs: Any,  # Any: Nerfstudio passes on whatever pipelines give it.
    ) -> None:
        self.phase: Phase = "head"
        self._store: FrameStore | None = None
        self._device_frames: DeviceFrames | None = None
        self._samplers: dict[str, PortraitPixelSampler] = {}
        self.budget: ClassBudget | None = None
        """Classes of the training pixels, and their losses as the pipeline tells them; None without classes."""
        super().__init__(config, device, test_mode, world_size, local_rank, **kwargs)

    def create_train_dataset(self) -> PortraitDataset:
        """Describe the training frames; nothing is decoded yet."""
        return self._dataset(self.train_dataparser_outputs)

    def create_eval_dataset(self) -> PortraitDataset:
        """Describe the held-out frames; they share the training frames' memory budget."""
        return self._dataset(self.dataparser.get_dataparser_outputs(split=self.test_split))

    def setup_train(self) -> None:
        """Prepare sampling from the training frames."""
        self._train_boxes = split_boxes(self.train_dataset)
        self._train_rays = PinholeRays(self.train_dataset.cameras, self.device)
        if fit_on_gpu(self.train_dataset, self.device, self.config.gpu_share):
            self._device_frames = DeviceFrames(self.train_dataset, self.device)
        dataset, num_rays = self.train_dataset, self.config.train_num_rays_per_batch
        self.budget = ClassBudget(lambda row: dataset.frame(row).classes) if self.config.face_classes else None
        self._samplers = {
            "head": self._sampler(self.config.pixel_sampler, self._train_boxes, num_rays),
            "lips": self._sampler(self.config.lips_sampler, self._train_boxes, num_rays),
            "torso": self._sampler(
                self.config.torso_sampler, self._train_boxes, self.config.torso_num_rays_per_batch or num_rays
            ),
        }

    def setup_eval(self) -> None:
        """Prepare sampling from the held-out frames, and whole images of them."""
        self._eval_boxes = split_boxes(self.eval_dataset)
        self._eval_rays = PinholeRays(self.eval_dataset.cameras, self.device)
        self._eval_sampler = self._sampler(
            UniformPixelSamplerConfig(), self._eval_boxes, self.config.eval_num_rays_per_batch
        )
        self.fixed_indices_eval_dataloader = FixedIndicesEvalDataloader(
            input_dataset=self.eval_dataset, device=self.device, num_workers=0
        )
        self.eval_dataloader = RandIndicesEvalDataloader(
            input_dataset=self.eval_dataset, device=self.device, num_workers=0
        )

    @property
    def train_pixel_sampler(self) -> PortraitPixelSampler | None:  # pyright: ignore[reportIncompatibleVariableOverride] # an attribute there
        """The sampler of the phase; None where nothing is trained. Nerfstudio's tools set its number of rays."""
        return self._samplers.get(self.phase)

    def next_train(self, step: int) -> tuple[RayBundle, dict[str, Any]]:  # Any: Nerfstudio's batches.
        """Give the rays and pixels of a training step; the same for the same step, seed and process."""
        self.train_count += 1
        sampler = self.train_pixel_sampler
        assert sampler is not None
        picked = sampler.sample(step)
        soon = sampler.frames(step + 1).tolist()
        self.train_dataset.prefetch(soon if self._device_frames is None else self._device_frames.missing(soon))
        return self._gather(self.train_dataset, self._train_rays, self._train_boxes, picked, self._device_frames)

    def next_eval(self, step: int) -> tuple[RayBundle, dict[str, Any]]:  # Any: Nerfstudio's batches.
        """Give rays and pixels of held-out frames, drawn uniformly."""
        self.eval_count += 1
        picked = self._eval_sampler.sample(step)
        return self._gather(self.eval_dataset, self._eval_rays, self._eval_boxes, picked)

    def next_eval_image(self, step: int) -> tuple[Cameras, dict[str, Any]]:  # Any: Nerfstudio's batches.
        """Give the camera and the layers of one whole held-out frame, drawn by the step."""
        stream = np.random.default_rng([self._seed(), step])
        return self.eval_dataloader.get_camera(int(stream.integers(len(self.eval_dataset))))

    def _dataset(self, outputs: DataparserOutputs) -> PortraitDataset:
        if "portrait" not in outputs.metadata:
            raise ValueError(
                f"The dataparser {type(self.dataparser).__name__} reads no portraits: without landmarks, parsing and "
                "sound there is nothing to train on. Use `talking-portrait` or `ad-nerf`."
            )
        dataset = PortraitDataset(
            outputs,
            self.config.camera_res_scale_factor,
            self.config.working_size,
            self._store,
            self._max_bytes(),
            self.config.face_classes,
        )
        self._store = dataset.store
        return dataset

    def _max_bytes(self) -> int:
        return int(self.config.cache_gib * GIB)

    def _seed(self) -> int:
        return torch.initial_seed() if self.config.seed is None else self.config.seed

    def _sampler(self, config: PortraitPixelSamplerConfig, boxes: FaceBoxes, num_rays: int) -> PortraitPixelSampler:
        return config.setup(
            boxes=boxes,
            num_rays_per_batch=num_rays,
            frames_per_batch=self.config.frames_per_batch,
            seed=self._seed(),
            rank=self.local_rank,
            budget=self.budget,
        )

    def _gather(
        self,
        dataset: PortraitDataset,
        rays: PinholeRays,
        boxes: FaceBoxes,
        picked: PickedPixels,
        frames: DeviceFrames | None = None,
    ) -> tuple[RayBundle, dict[str, Any]]:
        indices = upload(picked.indices, self.device)
        row, y, x = picked.indices.T
        if frames is None:
            packed, background = (upload(array, self.device) for array in _pixels(dataset, picked.indices))
        else:
            packed, background = frames.pixels(row[_starts(row)].tolist(), indices)
        colours = packed[:, :7].float() / 255
        plate = background.float() / 255
        torso = colours[:, 3:]
        opacity = torso[:, 3:]
        span = torch.tensor([max(dataset.height - 1, 1), max(dataset.width - 1, 1)], device=self.device)
        bundle = rays(indices)
        bundle.metadata |= {
            # For whoever looks up what drives these rays: a copy that no GPU has to be waited for.
            "host_times": rays.times(picked.indices[:, 0]),
            "pixel": indices[:, 1:] / span * 2 - 1,
            "behind": torso[:, :3] * opacity + plate * (1 - opacity),
            "background": plate,
        }
        batch: dict[str, Any] = {  # Any: a patch's side beside tensors.
            "image": colours[:, :3],
            "torso": torso,
            "parsing": regions_of(packed),
            "in_face": upload(inside(boxes.face[row], x, y), self.device),
            "in_eyes": upload(inside(boxes.right_eye[row], x, y) | inside(boxes.left_eye[row], x, y), self.device),
            "in_lower_face": upload(inside(boxes.lower_face[row], x, y), self.device),
            "group": upload(picked.group, self.device),
            "indices": indices,
        }
        if self.config.face_classes:
            batch["face_class"] = classes_of(packed)
        if picked.patch is not None:
            batch["patch"] = picked.patch
            batch["patch_group"] = PixelGroup(int(picked.group[0]))
        return bundle, batch


def split_boxes(dataset: PortraitDataset) -> FaceBoxes:
    """Measure where faces are in the frames of a split, at its working size."""
    indices = [frame.index for frame in dataset.frames]
    return face_boxes(dataset.portrait, indices, dataset.width, dataset.height)


def _pixels(
    dataset: PortraitDataset, indices: np.ndarray
) -> tuple[UInt8[np.ndarray, "rays 8"], UInt8[np.ndarray, "rays 3"]]:
    """Gather packed pixels and the plate behind them; pixels of one frame follow each other."""
    row = indices[:, 0]
    flat = indices[:, 1] * dataset.width + indices[:, 2]
    words = np.empty(len(flat), dtype=np.uint64)
    starts = _starts(row)
    for start, end in zip(starts, [*starts[1:], len(row)], strict=True):
        words[start:end] = dataset.frame(int(row[start])).pixels[flat[start:end]]
    return words.view(np.uint8).reshape(-1, 8), dataset.background.reshape(-1, 3)[flat]


def _starts(row: np.ndarray) -> np.ndarray:
    """Find where another frame begins; pixels of one frame follow each other."""
    return np.flatnonzero(np.diff(row, prepend=-1))
