"""What a few pictures of a person know of a point in space: projected, moved by what is heard, looked up, blended."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from nerfstudio.configs.base_config import InstantiateConfig
from torch import Tensor, nn

from ns_talking.kernels.frequency_encoding import frequency_encoding
from ns_talking.modules.aggregation import (
    Aggregation,
    AggregationName,
    AudioAwareAggregation,
    MeanAggregation,
    SlotAggregation,
)
from ns_talking.modules.colour_blend import OUTPUT_DIM as COLOUR_DIM
from ns_talking.modules.colour_blend import ColourBlend
from ns_talking.modules.reference_encoder import ReferenceEncoderConfig
from ns_talking.modules.warper import WarperConfig, unmoved


@dataclass(frozen=True)
class SeenReferences:
    """Reference pictures as a field looks them up."""

    images: Float[Tensor, "references 3 height width"]
    """The pictures, in [0, 1]."""
    features: Float[Tensor, "references channels rows columns"]
    """Encoded pictures."""
    camera_to_world: Float[Tensor, "references 3 4"]
    """OpenGL axes."""
    lens: Float[Tensor, "4"]
    """Focal lengths and principal point in px: fx, fy, cx, cy."""
    size_px: tuple[int, int]
    """Width and height of the pictures."""
    codes: Float[Tensor, "references code"]
    """Audio codes of what is heard in them."""


@dataclass
class ReferenceFeaturesConfig(InstantiateConfig):
    """Parts of the look-up."""

    _target: type = field(default_factory=lambda: ReferenceFeatures)
    encoder: ReferenceEncoderConfig = field(default_factory=ReferenceEncoderConfig)
    """Pictures to maps of features."""
    warper: WarperConfig = field(default_factory=WarperConfig)
    """Offsets in the pictures."""
    warp_by: Literal["audio", "feature", "none"] = "audio"
    """What offsets depend on: the sounds of frame and reference (AE-NeRF), the frame's sound and the feature (DFRF), or
    no offsets at all."""
    aggregation: AggregationName = "audio"
    """How references are blended: attention by what is heard (AE-NeRF), slots (DFRF), or their mean."""
    token_dim: int = 128
    """Channels of the attention by what is heard."""
    heads: int = 4
    """Heads of that attention; they must divide its channels."""
    residual_first: bool = True
    """Whether that attention passes the frame's own sound on, as the paper has it. Without it, what is looked up
    depends on the sound by the choice among references alone."""
    contrast: bool = False
    """Whether that attention compares sounds relative to the references' own mean and spread; our addition, without
    which one reference is preferred whatever is heard. Off in the config.yml of portraits from before it was there."""
    soundless: bool = False
    """Whether the field that is not told the sound looks points up for itself, as if the mean of the references' sounds
    were heard in every frame. Our addition; otherwise it sees what the sound chose and moved for the other field, as
    the paper has it, and changes with the sound."""
    colours: bool = False
    """Whether points are given the colours that the pictures show there, blended, and how far these differ: fields then
    correct the blend instead of painting from nothing. Our addition, after IBRNet."""
    position_degree: int = 10
    """Octaves that encode points."""
    direction_degree: int = 4
    """Octaves that encode directions."""


class ReferenceFeatures(nn.Module):
    """Gives each point a feature from the references of its person.

    Source:
        DFRF (Shen et al., ECCV 2022) and AE-NeRF (Li et al., AAAI 2024). Differs from DFRF's released code: projections
        are not rounded to whole pixels before the offset is added.

    Args:
        config: Its parts.
        code_dim: Channels of an audio code.
    """

    def __init__(self, config: ReferenceFeaturesConfig, code_dim: int) -> None:
        super().__init__()
        self.config = config
        self.position_dim = 3 * (1 + 2 * config.position_degree)
        direction_dim = 3 * (1 + 2 * config.direction_degree)
        self.encoder = config.encoder.setup()
        feature_dim = config.encoder.feature_dim
        self.warper = None
        if config.warp_by != "none":
            self.warper = config.warper.setup(
                sees=config.warp_by,
                position_dim=self.position_dim,
                direction_dim=direction_dim,
                code_dim=code_dim,
                feature_dim=feature_dim,
            )
        self.aggregation: Aggregation
        if config.aggregation == "audio":
            self.aggregation = AudioAwareAggregation(
                feature_dim, code_dim, config.token_dim, config.heads, config.residual_first, config.contrast
            )
        elif config.aggregation == "slots":
            self.aggregation = SlotAggregation(feature_dim, self.position_dim)
        else:
            self.aggregation = MeanAggregation(feature_dim)
        self.colour_blend = ColourBlend(feature_dim) if config.colours else None

    @property
    def output_dim(self) -> int:
        """Channels of the blended feature; the last three are the blended colour where the pictures' are asked for."""
        return self.aggregation.output_dim + (COLOUR_DIM if self.colour_blend is not None else 0)

    def forward(
        self,
        points: Float[Tensor, "samples 3"],
        directions: Float[Tensor, "samples 3"],
        code: Float[Tensor, "frames code"],
        frame_row: Int[Tensor, " samples"],
        seen: SeenReferences,
    ) -> tuple[Float[Tensor, "samples output"], Float[Tensor, "samples references 2"]]:
        """Look points up.

        Args:
            points: In world units.
            directions: Unit vectors along the rays.
            code: Audio code of each distinct frame that is drawn.
            frame_row: Frame of each sample.
            seen: The references.

        Returns:
            Blended features, and how far beside their projections points were looked up, in px.
        """
        config, width_px = self.config, float(seen.size_px[0])
        place = frequency_encoding(points, config.position_degree)
        pixels = project(points, seen)
        towards = F.normalize(points[:, None] - seen.camera_to_world[:, :, 3], dim=2)
        if self.warper is None:
            offsets = unmoved(len(points), len(seen.codes), points)
        elif self.warper.sees == "feature":
            straight = look_up(pixels, seen)
            offsets = self.warper.by_feature(place, code, frame_row, straight, width_px)
        else:
            octaves = config.direction_degree
            of_references = frequency_encoding(towards.flatten(0, 1), octaves).unflatten(0, towards.shape[:2])
            offsets = self.warper.by_audio(
                place,
                frequency_encoding(directions, octaves),
                code,
                frame_row,
                of_references,
                seen.codes,
                width_px,
            )
        pixels = pixels + offsets
        shares = pixels / pixels.new_tensor(seen.size_px) * 2 - 1
        features = look_up(pixels, seen)
        blended = self.aggregation(features, shares, place, code, frame_row, seen.codes)
        if self.colour_blend is not None:
            facing = (towards * directions[:, None]).sum(dim=2)
            heard = self.aggregation.frame_weights(code, seen.codes)[frame_row]
            colours = look_up(pixels, replace(seen, features=seen.images))
            blended = torch.cat([blended, self.colour_blend(features, colours, facing, heard)], dim=1)
        return blended, offsets


def project(points: Float[Tensor, "samples 3"], seen: SeenReferences) -> Float[Tensor, "samples references 2"]:
    """Project points into the references: px to the right and down, pixel centres at +0.5, clamped to the picture."""
    fx, fy, cx, cy = seen.lens
    rotation, centre = seen.camera_to_world[:, :, :3], seen.camera_to_world[:, :, 3]
    camera = torch.einsum("nra,rab->nrb", points[:, None] - centre, rotation)
    depth = (-camera[..., 2]).clamp(min=1e-3)
    width, height = seen.size_px
    x = (cx + fx * camera[..., 0] / depth).clamp(0, width)
    y = (cy - fy * camera[..., 1] / depth).clamp(0, height)
    return torch.stack([x, y], dim=2)


def look_up(
    pixels: Float[Tensor, "samples references 2"], seen: SeenReferences
) -> Float[Tensor, "samples references channels"]:
    """Interpolate the features at places in the pictures; beyond a border lies what is on it."""
    shares = pixels / pixels.new_tensor(seen.size_px)
    if pixels.device.type == "cpu":
        return _from_rows(shares, seen.features)
    places = shares.transpose(0, 1)[:, :, None] * 2 - 1
    found = F.grid_sample(seen.features, places, padding_mode="border", align_corners=False)
    return found[..., 0].permute(2, 0, 1)


def _from_rows(
    shares: Float[Tensor, "samples references 2"], features: Float[Tensor, "references channels rows columns"]
) -> Float[Tensor, "samples references channels"]:
    """Interpolate with the channels of a pixel side by side.

    On a processor, `grid_sample` jumps through memory once per channel and takes more than twice as long.
    """
    number, channels, rows, columns = features.shape
    size = shares.new_tensor([columns, rows])
    at = torch.minimum((shares * size - 0.5).clamp(min=0), size - 1)
    low = at.detach().floor()
    across, down = (at - low).unbind(dim=2)
    left, top = low.long().unbind(dim=2)
    right, bottom = (left + 1).clamp(max=columns - 1), (top + 1).clamp(max=rows - 1)
    first = torch.arange(number, device=shares.device) * (rows * columns)
    top, bottom = top * columns + first, bottom * columns + first
    corners = torch.stack([top + left, top + right, bottom + left, bottom + right], dim=2)
    weights = [(1 - across) * (1 - down), across * (1 - down), (1 - across) * down, across * down]
    return F.embedding_bag(
        corners.flatten(0, 1),
        features.permute(0, 2, 3, 1).reshape(-1, channels),
        per_sample_weights=torch.stack(weights, dim=2).flatten(0, 1),
        mode="sum",
    ).view(len(shares), number, channels)
