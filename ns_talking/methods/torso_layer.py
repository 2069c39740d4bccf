"""The torso of a picture: one fused kernel where there is a GPU for it, else pixel by pixel where it may be."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ns_talking.fields.folded_canvas import draw_fused, draws_fused
from ns_talking.fields.posed_canvas import PosedCanvas
from ns_talking.rendering.cuda_graph import Replay
from ns_talking.rendering.rays import Rays


class TorsoLayer:
    """Draws a torso without gradients; on a GPU its kernel and all that prepares it are replayed as a CUDA graph.

    Args:
        torso: What to draw. Its parameters may change.
    """

    def __init__(self, torso: PosedCanvas) -> None:
        self._torso = torso
        self._draw_fused = Replay(self._fused, [torso])

    @torch.no_grad()
    def __call__(
        self, rays: Rays, head_pose: Float[Tensor, "1 3 4"], frame: Int[Tensor, " 1"]
    ) -> tuple[Float[Tensor, "rays 3"], Float[Tensor, "rays 1"]]:
        """Draw pixels of one picture.

        Args:
            rays: Any part of the picture.
            head_pose: Camera-to-world that the torso follows.
            frame: Frame of the picture, for its appearance code.

        Returns:
            Colour and opacity in [0, 1], 0 where no torso was ever seen.
        """
        if draws_fused(self._torso, rays.pixels):
            (values,) = self._draw_fused(rays.pixels, head_pose, frame)
            return values[:, :3], values[:, 3:]
        seen = self._torso.occupied(rays.pixels).nonzero()[:, 0]
        rgb, alpha = rays.pixels.new_zeros(len(rays), 3), rays.pixels.new_zeros(len(rays), 1)
        if len(seen):
            rgb[seen], alpha[seen] = self._torso(rays.pixels[seen], head_pose, frame, rays.row[seen])
        return rgb.clamp(0, 1), alpha.clamp(0, 1)

    def _fused(self, pixels: Tensor, head_pose: Tensor, frame: Tensor) -> tuple[Tensor, ...]:
        return (draw_fused(self._torso, pixels, head_pose, frame),)
