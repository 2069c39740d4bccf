"""Frames of one person after the other, each with other frames of the same person to look up."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from nerfstudio.cameras.rays import RayBundle

from ns_talking.data.face_boxes import FaceBoxes
from ns_talking.data.landmarks import scheme
from ns_talking.data.lower_face import lower_half_face
from ns_talking.data.pixel_samplers import MouthPixelSamplerConfig, PortraitPixelSampler, PortraitPixelSamplerConfig
from ns_talking.data.portrait_datamanager import PortraitDataManager, PortraitDataManagerConfig, split_boxes
from ns_talking.data.portrait_dataset import PortraitDataset
from ns_talking.data.rays import PinholeRays
from ns_talking.data.references import Drawn, draw_references, load_references
from ns_talking.utils.device import upload

_OTHER_CHANCE = 0x0E
"""Keeps the chance that draws people and references apart from the one that draws pixels."""


@dataclass
class FewShotDataManagerConfig(PortraitDataManagerConfig):
    """How frames and references of one or several people reach the model."""

    _target: type = field(default_factory=lambda: FewShotDataManager)
    num_references: int = 4
    """Frames that are looked up while another one is drawn; as many as the model's."""
    frames_per_batch: int = 1
    pixel_sampler: PortraitPixelSamplerConfig = field(
        default_factory=lambda: MouthPixelSamplerConfig(mouth_share=0.0, eye_share=0.0, face_share=0.95, blink_frames=0)
    )
    """Pixels of the head phase: 95 % inside the box around the face, as DFRF's."""


class FewShotDataManager(PortraitDataManager):
    """Serves one person and frame per step; who it is, is a function of step, seed and process.

    Only the shown person is evaluated and has a torso, so the torso's pixels are always of that person.
    """

    config: FewShotDataManagerConfig

    def create_train_dataset(self) -> PortraitDataset:
        """Describe the training frames; nobody but the shown person is read where nothing is trained."""
        dataset = super().create_train_dataset()
        # The dataparser `identities` has them.
        others = getattr(self.dataparser, "others", list)() if self.test_mode == "val" else []
        share = self._max_bytes() // (1 + len(others))
        dataset.store.limit(share)
        scale, size = self.config.camera_res_scale_factor, self.config.working_size
        dataset.metadata["others"] = [PortraitDataset(outputs, scale, size, max_bytes=share) for outputs in others]
        dataset.metadata["size_px"] = (dataset.width, dataset.height)
        return dataset

    def setup_train(self) -> None:
        """Prepare sampling from everybody's training frames."""
        super().setup_train()
        self._others = [self._feed(dataset) for dataset in self.train_dataset.metadata["others"]]

    def next_train(self, step: int) -> tuple[RayBundle, dict[str, Any]]:  # Any: Nerfstudio's batches.
        """Give the rays and pixels of a training step, with references that are never the frame itself."""
        if self.phase == "torso":
            return super().next_train(step)
        stream = np.random.default_rng([self._seed(), self.local_rank, step, _OTHER_CHANCE])
        person = int(stream.integers(1 + len(self._others)))
        if person == 0:
            dataset = self.train_dataset
            bundle, batch = super().next_train(step)
        else:
            self.train_count += 1
            feed = self._others[person - 1]
            dataset = feed.dataset
            bundle, batch = self._gather(dataset, feed.rays, feed.boxes, feed.samplers[self.phase].sample(step))
        indices = batch["indices"].cpu().numpy()
        rows = draw_references(len(dataset), np.unique(indices[:, 0]), self.config.num_references, stream)
        lower_half = upload(_lower_half(dataset, indices), self.device)
        metadata: dict[str, Any] = bundle.metadata  # Any: Nerfstudio annotates tensors alone.
        metadata["drawn"] = Drawn(person, load_references(dataset, rows, torch.device(self.device)), lower_half)
        batch["lower_half"] = lower_half
        return bundle, batch

    def _feed(self, dataset: PortraitDataset) -> _Feed:
        boxes = split_boxes(dataset)
        num_rays = self.config.train_num_rays_per_batch
        samplers = {
            "head": self._sampler(self.config.pixel_sampler, boxes, num_rays),
            "lips": self._sampler(self.config.lips_sampler, boxes, num_rays),
        }
        return _Feed(dataset, boxes, PinholeRays(dataset.cameras, self.device), samplers)


@dataclass(frozen=True)
class _Feed:
    """What the pixels of another person come from."""

    dataset: PortraitDataset
    boxes: FaceBoxes
    rays: PinholeRays
    samplers: dict[str, PortraitPixelSampler]


def _lower_half(dataset: PortraitDataset, indices: np.ndarray) -> Bool[np.ndarray, " rays"]:
    portrait = dataset.portrait
    layout = scheme(portrait.landmark_scheme)
    scale = np.array([dataset.width / portrait.width, dataset.height / portrait.height])
    result = np.zeros(len(indices), dtype=bool)
    for row in np.unique(indices[:, 0]):
        mine = indices[:, 0] == row
        points = portrait.landmarks[dataset.frames[row].index, :, :2] * scale
        mask = lower_half_face(dataset.frame(int(row)).parsing, points, layout)
        result[mine] = mask[indices[mine, 1], indices[mine, 2]]
    return result
