"""A torso that rests in front of the camera, in the frame of a head that rests in the world: one field shows both.

With the head at rest in the world, the camera moves around it by the inverse of the head's motion, and a torso that
rests in front of the camera moves with the camera. Where R, c are the camera's rotation and place in a frame and Rc, cc
those of a canonical frame, the torso's point x of this frame is in the canonical one, in closed form,

    x_rigid = Rc R^T (x - c) + cc.

Every point is moved by w(x) (x_rigid - x + |x_rigid - x| r(x, pose)): w is learned, 0 on the head and 1 on the torso,
and r is what bends. An untrained r is zero. Whatever it has learned, nothing moves where w is 0, nor in the canonical
frame: a bend that all frames have in common would move everything, and no picture would tell.

Source:
    SSP-NeRF (Liu et al., ECCV 2022) deforms the torso of a unified field by a network of place, time and pose. The
    split into the rigid motion, a share of it and a rest is ours, and so is a latent per frame in place of time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from nerfstudio.configs.base_config import InstantiateConfig
from torch import Tensor, nn

from ns_talking.fields.base import ConditionedField, FieldCondition, FieldDensity
from ns_talking.fields.euler_torso import euler_angles
from ns_talking.fields.placed import PlacedField
from ns_talking.kernels.frequency_encoding import frequency_encoding
from ns_talking.modules.embeddings import FrameLatents
from ns_talking.modules.mlp import MLP
from ns_talking.utils.device import seeded_generator

_FIT_POINTS, _FIT_RATE = 1_024, 1e-2


@dataclass
class TorsoDeformationConfig(InstantiateConfig):
    """Torso deformation."""

    _target: type = field(default_factory=lambda: TorsoDeformation)
    octaves: int = 6
    """Octaves that encode the place for what bends."""
    hidden_dim: int = 128
    """Width of the network that bends."""
    num_layers: int = 4
    """Its layers."""
    pose_octaves: int = 3
    """Octaves that encode the pose."""
    latent_dim: int = 8
    """Channels of the latent of each training frame; 0 switches it off."""
    latent_dropout: float = 0.5
    """Chance of the latent to be zero in training, which it always is afterwards."""
    share_octaves: int = 4
    """Octaves that encode the place for the share of the torso's motion."""
    share_dim: int = 32
    """Width of the network that tells the share."""
    share_steps: int = 300
    """Steps that fit it beforehand to where clothes and the head are seen."""
    bend_with_torso: bool = True
    """Whether what bends is in proportion to the torso's motion and to the share of it: then the head cannot bend."""

    def __setstate__(self, state: dict[str, Any]) -> None:  # Any: the fields.
        """Read configs of version 0.1.0, whose heads could bend as well, and in every frame."""
        self.__dict__.update({"bend_with_torso": False, **state})


@dataclass(frozen=True)
class RigidMotion:
    """The torso's motion from each frame to the canonical one, x_rigid = rotation x + translation."""

    rotation: Float[Tensor, "frames 3 3"]
    translation: Float[Tensor, "frames 3"]

    @classmethod
    def of(cls, head_pose: Float[Tensor, "frames 3 4"], canonical_pose: Float[Tensor, "3 4"]) -> RigidMotion:
        """Compute it from camera-to-world matrices."""
        rotation = canonical_pose[:, :3] @ head_pose[:, :, :3].transpose(1, 2)
        return cls(rotation, canonical_pose[:, 3] - torch.einsum("fij,fj->fi", rotation, head_pose[:, :, 3]))

    def __call__(
        self, positions: Float[Tensor, "samples 3"], frame_row: Int[Tensor, " samples"]
    ) -> Float[Tensor, "samples 3"]:
        """Move points of their frames into the canonical frame."""
        rotation, translation = self.rotation[frame_row], self.translation[frame_row]
        return (rotation @ positions[:, :, None])[..., 0] + translation


class TorsoDeformation(nn.Module):
    """Moves the points of a frame to where the canonical frame shows them.

    Args:
        config: Sizes.
        canonical_pose: Camera-to-world of the frame that all others are brought to.
        num_frames: Frames of the clip.
    """

    def __init__(self, config: TorsoDeformationConfig, canonical_pose: Float[Tensor, "3 4"], num_frames: int) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("canonical_pose", canonical_pose.clone())
        self.canonical_pose: Tensor
        self.latents = FrameLatents(config.latent_dim, num_frames, config.latent_dropout)
        pose_dim = 6 * (1 + 2 * config.pose_octaves)
        hidden = [config.hidden_dim] * (config.num_layers - 1)
        self.bend_mlp = MLP(3 * (1 + 2 * config.octaves) + pose_dim + config.latent_dim, *hidden, 3)
        self.share_mlp = MLP(3 * (1 + 2 * config.share_octaves), config.share_dim, config.share_dim, 1)
        last = self.bend_mlp[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)

    def moved(
        self, field: ConditionedField, head_pose: Float[Tensor, "frames 3 4"], frame: Int[Tensor, " frames"], seed: int
    ) -> MovedTorsoField:
        """Show the field as some frames see it.

        Args:
            field: Head and torso in the canonical frame.
            head_pose: Camera-to-world of each distinct frame.
            frame: Index of each distinct frame in the clip, for its latent; read in training only.
            seed: Of the draws in training.
        """
        motion = RigidMotion.of(head_pose, self.canonical_pose)
        pose = torch.cat([euler_angles(motion.rotation), motion.translation], dim=1)
        per_frame = torch.cat([frequency_encoding(pose, self.config.pose_octaves), self.latents(frame, seed)], dim=1)
        return MovedTorsoField(field, self, motion, per_frame)

    @torch.enable_grad()
    def learn_share(self, positions: Float[Tensor, "points 3"], wanted: Float[Tensor, " points"], seed: int) -> None:
        """Fit the share beforehand, so that a training does not begin with a head that moves half with the torso.

        Args:
            positions: Points in the world.
            wanted: Share of the torso's motion that each makes, in [0, 1].
            seed: Of the draws.
        """
        optimizer = torch.optim.Adam(self.share_mlp.parameters(), lr=_FIT_RATE)
        chance = seeded_generator(seed, positions.device)
        for _ in range(self.config.share_steps):
            drawn = torch.randint(len(positions), (_FIT_POINTS,), generator=chance, device=positions.device)
            optimizer.zero_grad()
            F.binary_cross_entropy(self.share(positions[drawn]).clamp(0, 1), wanted[drawn]).backward()
            optimizer.step()
        optimizer.zero_grad()

    def share(self, positions: Float[Tensor, "samples 3"]) -> Float[Tensor, " samples"]:
        """Tell how much of the torso's motion points make, in [0, 1]."""
        return self.share_mlp(frequency_encoding(positions, self.config.share_octaves)).float().sigmoid()[:, 0]

    def bend(
        self, positions: Float[Tensor, "samples 3"], per_frame: Float[Tensor, "samples channels"]
    ) -> Float[Tensor, "samples 3"]:
        """Tell how points move besides, in world units."""
        return self.bend_mlp(torch.cat([frequency_encoding(positions, self.config.octaves), per_frame], dim=1)).float()


class MovedTorsoField(PlacedField):
    """A field as some frames see it. It owns no parameters and lives as long as these frames."""

    def __init__(
        self,
        field: ConditionedField,
        deformation: TorsoDeformation,
        motion: RigidMotion,
        per_frame: Float[Tensor, "frames channels"],
    ) -> None:
        super().__init__(field)
        self.deformation, self.motion, self.per_frame = deformation, motion, per_frame

    def displacement(
        self, positions: Float[Tensor, "samples 3"], frame_row: Int[Tensor, " samples"]
    ) -> tuple[Float[Tensor, "samples 3"], Float[Tensor, " samples"], Float[Tensor, "samples 3"]]:
        """Tell the rigid motion of the torso at points, which share of it they make, and what they move besides."""
        rigid = self.motion(positions, frame_row) - positions
        per_sample = self.per_frame.index_select(0, frame_row)
        share, bend = self.deformation.share(positions), self.deformation.bend(positions, per_sample)
        if self.deformation.config.bend_with_torso:
            bend = bend * (share * rigid.norm(dim=1))[:, None]
        return rigid, share, bend

    def density(self, positions: Float[Tensor, "samples 3"], condition: FieldCondition) -> FieldDensity:
        """Evaluate the density of points in the world of their frame."""
        rigid, share, bend = self.displacement(positions, condition.frame_row)
        at = super().density(positions + share[:, None] * rigid + bend, condition)
        # Where nothing bends, the length has no gradient of its own.
        length = (bend.square().sum(dim=1) + 1e-12).sqrt()
        return replace(at, torso_share=share, shift=length)

    def parameters(self) -> Iterable[Tensor]:
        """List those of the field and of the deformation."""
        return [*self.field.parameters(), *self.deformation.parameters()]

    def given(self) -> list[Tensor]:
        """List the frames' poses with their latents, and what is built into the field."""
        return [self.per_frame, *self.field.given()]

    def with_given(self, given: Sequence[Tensor]) -> MovedTorsoField:
        """Put others in their place."""
        per_frame, *others = given
        return MovedTorsoField(self.field.with_given(others), self.deformation, self.motion, per_frame)
