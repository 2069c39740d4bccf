"""A lattice over the head whose vertices talk to each other and to the sound, and move what lies between them.

This is our reconstruction of what the abstract of ER-NeRF++ (Li et al., Information Fusion 110, 2024) calls a
Deformation Grid Transformer, "the reuse of cross-regional spatial features for large motion representation". Neither
equations nor sizes of the original are public. The grid is a lattice of tokens, the transformer lets its regions
exchange what they know of each other, and a point reuses the features of the place that the lattice sends it to.

The lattice spans the face, not the head: hair and ears have no reason to move, and over the whole box the mouth would
lie between two vertices. Its surface stays in place, so that nothing tears where it ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from nerfstudio.configs.base_config import InstantiateConfig
from torch import Tensor, nn

from ns_talking.fields.base import FieldCondition
from ns_talking.fields.deformed import DeformedField
from ns_talking.fields.triplane import TriplaneField
from ns_talking.kernels.frequency_encoding import frequency_encoding
from ns_talking.modules.token_exchange import TokenExchange

_PLACE_DEGREE = 4


@dataclass
class MotionLatticeConfig(InstantiateConfig):
    """Lattice of deformation tokens."""

    _target: type = field(default_factory=lambda: MotionLattice)
    resolution: tuple[int, int, int] = (16, 8, 16)
    """Vertices across (x), in depth (y) and up (z)."""
    span: Literal["face", "head"] = "face"
    """What the lattice spans: the box around the face's landmarks, or all of the head's box."""
    margin: float = 0.15
    """Room between the landmarks and the sides of the face's box, in world units (25 cm)."""
    jaw_room: float = 0.15
    """More room below, for a jaw that opens."""
    token_dim: int = 64
    """Channels of a token."""
    num_heads: int = 4
    """Heads of every attention."""
    num_blocks: int = 2
    """Rounds of listening to the sound and to the other regions."""
    num_audio_tokens: int = 8
    """Tokens that the audio code is spread over."""
    max_offset: float = 0.15
    """Longest offset along an axis in world units (25 cm)."""

    def __setstate__(self, state: dict[str, Any]) -> None:  # Any: the fields.
        """Read configs of version 0.1.0, whose lattices span the head."""
        self.__dict__.update({"span": "head", **state})


class MotionLattice(nn.Module):
    """From an audio code and a blink to the offsets of a lattice's vertices.

    A vertex knows the features of its place and where it is. In every block it listens to the sound, to the blink and
    to an empty token, which lets it not listen; then to the other vertices. The last layer begins at zero, so that a
    fresh lattice moves nothing. Vertices around which the head can never be are left out and move nothing, as do those
    on the surface of the face's box.

    Args:
        config: Sizes.
        feature_dim: Channels of the features of a place.
        code_dim: Channels of the audio code.
        bounds: Lower and upper corner of the head's box, which the lattice spans until it is told where the face is.

    Raises:
        ValueError: When a lattice over the face has no vertex inside.
    """

    def __init__(
        self, config: MotionLatticeConfig, feature_dim: int, code_dim: int, bounds: Float[Tensor, "2 3"]
    ) -> None:
        super().__init__()
        self.config = config
        dim = config.token_dim
        axes = [torch.linspace(0, 1, count) for count in config.resolution]
        places = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).view(-1, 3)
        inside = torch.ones(len(places), dtype=torch.bool)
        if config.span == "face":
            inside = ((places > 0) & (places < 1)).all(dim=1)
        # Counted, not looked up: what a portrait claims is built on PyTorch's device "meta", which holds no values.
        if config.span == "face" and min(config.resolution) < 3:
            raise ValueError(
                f"A lattice of {config.resolution} vertices has none inside, and those on its surface do not move. "
                "Give it 3 or more along each axis: --pipeline.model.lattice.resolution"
            )
        self.register_buffer("bounds", bounds.float().clone(), persistent=config.span == "face")
        self.register_buffer("unit_places", places, persistent=False)
        self.register_buffer("inside", inside, persistent=False)
        self.register_buffer("active", inside.clone())
        self.bounds: Tensor
        self.unit_places: Tensor
        self.inside: Tensor
        self.active: Tensor
        self.token = nn.Linear(feature_dim + 3 * (1 + 2 * _PLACE_DEGREE), dim)
        self.listen = nn.Linear(code_dim, config.num_audio_tokens * dim)
        self.look = nn.Linear(1, dim)
        self.nothing = nn.Parameter(torch.zeros(1, 1, dim))
        self.blocks = nn.ModuleList(TokenExchange(dim, config.num_heads) for _ in range(config.num_blocks))
        self.offset = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 3))
        last = self.offset[1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    @property
    def places(self) -> Float[Tensor, "vertices 3"]:
        """Where the vertices lie, in world units."""
        low, high = self.bounds
        return low + self.unit_places * (high - low)

    @torch.no_grad()
    def surround(self, face: Float[Tensor, "points 3"]) -> None:
        """Span the box around a face, as far as the head's box reaches; a lattice that spans the head stays as it is.

        Args:
            face: Points of it, in world units.
        """
        config = self.config
        if config.span == "head":
            return
        low, high = face.amin(dim=0) - config.margin, face.amax(dim=0) + config.margin
        low[2] -= config.jaw_room
        low, high = (
            torch.maximum(low.to(self.bounds), self.bounds[0]),
            torch.minimum(high.to(self.bounds), self.bounds[1]),
        )
        self.bounds.copy_(torch.stack([low, high]))

    @torch.no_grad()
    def restrict(self, occupied: Bool[Tensor, "width depth height"], box: Float[Tensor, "2 3"]) -> None:
        """Leave out vertices none of whose cells may hold anything.

        Args:
            occupied: Which parts of the head's box may.
            box: Lower and upper corner of it.
        """
        cells = torch.tensor(self.config.resolution, device=box.device) - 1
        size = (box[1] - box[0]) / torch.tensor(occupied.shape, device=box.device)
        centres = box[0] + (occupied.nonzero() + 0.5) * size
        # Corners and centre of each part: a part may lie in several cells.
        within = torch.cartesian_prod(*[torch.tensor([-0.499, 0.0, 0.499], device=box.device)] * 3)
        points = (centres[:, None] + within * size).reshape(-1, 3)
        unit = (points - self.bounds[0]) / (self.bounds[1] - self.bounds[0])
        unit = unit[((unit >= 0) & (unit < 1)).all(dim=1)]
        filled = torch.zeros(tuple(cells.tolist()), device=box.device)
        filled[tuple((unit * cells).long().t())] = 1
        around = F.max_pool3d(F.pad(filled[None, None], (1,) * 6), 2, stride=1)
        wanted = (around.view(-1) > 0) & self.inside
        # A lattice without vertices could not learn; this one can, should the head be found after all.
        self.active.copy_(wanted if wanted.any() else self.inside)

    def forward(
        self,
        features: Float[Tensor, "vertices features"],
        code: Float[Tensor, "frames code"],
        blink: Float[Tensor, " frames"],
    ) -> Float[Tensor, "frames 3 width depth height"]:
        """Find the offsets of all vertices in world units.

        Args:
            features: Features at the places of the active vertices.
            code: Audio code of each frame.
            blink: What drives the eyes in each frame.
        """
        config, num_frames = self.config, len(code)
        places = frequency_encoding(self.places[self.active], _PLACE_DEGREE)
        tokens = self.token(torch.cat([features, places], dim=1)).expand(num_frames, -1, -1)
        heard = self.listen(code).view(num_frames, config.num_audio_tokens, -1)
        seen = self.look(blink[:, None])[:, None]
        context = torch.cat([heard, seen, self.nothing.expand(num_frames, -1, -1)], dim=1)
        for block in self.blocks:
            tokens = block(tokens, context)
        offsets = self.offset(tokens).float().tanh() * config.max_offset
        lattice = offsets.new_zeros(num_frames, len(self.unit_places), 3)
        lattice = lattice.index_copy(1, self.active.nonzero()[:, 0], offsets)
        return lattice.transpose(1, 2).reshape(num_frames, 3, *config.resolution)

    def moved(
        self, field: TriplaneField, code: Float[Tensor, "frames code"], blink: Float[Tensor, " frames"]
    ) -> LatticeField:
        """Give a field as it is when the lattice has moved it; no gradient reaches its planes through the tokens."""
        features = field.features_at(self.places[self.active]).detach()
        return LatticeField(field, self(features, code, blink), self.bounds)


class LatticeField(DeformedField):
    """A field that shows, at each point, what lies where the lattice around it points to.

    Args:
        field: The field at rest.
        lattice: Offsets of the vertices, in world units.
        bounds: Lower and upper corner of the lattice.
    """

    def __init__(
        self,
        field: TriplaneField,
        lattice: Float[Tensor, "frames 3 width depth height"],
        bounds: Float[Tensor, "2 3"],
    ) -> None:
        super().__init__(field)
        self.lattice = lattice
        self.bounds = bounds

    def fetch(
        self, positions: Float[Tensor, "samples 3"], condition: FieldCondition
    ) -> tuple[Float[Tensor, "samples features"], Float[Tensor, " samples"] | None]:
        """Fetch the features from where the lattice points to."""
        low, high = self.bounds
        offset = interpolated(self.lattice, (positions - low) / (high - low), condition.frame_row)
        features = self.field.features_at(positions + offset)
        if not torch.is_grad_enabled():
            return features, None
        # The gradient of a norm is undefined at zero, where a fresh lattice is.
        return features, (offset.square().sum(dim=1) + 1e-12).sqrt()

    def given(self) -> list[Tensor]:
        """List the lattice."""
        return [self.lattice]

    def with_given(self, given: Sequence[Tensor]) -> LatticeField:
        """Put another lattice around the field."""
        (lattice,) = given
        return LatticeField(self.field, lattice, self.bounds)

    def roughness(self) -> Float[Tensor, ""]:
        """Mean squared difference of neighbouring vertices' offsets, as a share of the distance in vertices."""
        return torch.stack([self.lattice.diff(dim=axis).square().mean() for axis in (2, 3, 4)]).sum()


def interpolated(
    lattice: Float[Tensor, "frames channels width depth height"],
    points: Float[Tensor, "samples 3"],
    row: Int[Tensor, " samples"],
) -> Float[Tensor, "samples channels"]:
    """Read a lattice between its vertices, trilinearly, each point in its own frame's.

    Args:
        lattice: Values at the vertices, which reach from end to end of the unit cube.
        points: Coordinates in the unit cube; those outside read its surface.
        row: Frame of every point.
    """
    num_frames, num_channels, width, depth, height = lattice.shape
    # All frames' lattices stand one behind the other along x; no point lies between two of them.
    volume = lattice.transpose(0, 1).reshape(1, num_channels, num_frames * width, depth, height)
    inside = points.float().clamp(0, 1)
    x = (row * width + inside[:, 0] * (width - 1)) / max(num_frames * width - 1, 1)
    grid = torch.stack([inside[:, 2], inside[:, 1], x], dim=1) * 2 - 1
    return F.grid_sample(volume, grid[None, None, None], align_corners=True)[0, :, 0, 0].t()
