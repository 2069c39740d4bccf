"""The colour that several pictures of a person show at a point, and how far they agree about it."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

OUTPUT_DIM = 6


class ColourBlend(nn.Module):
    """Weighs the pixels that references show at a point.

    A surface looks alike from everywhere and empty space does not, so how far references differ tells where the person
    is, whoever it is. Weights start equal and learn from features, colours and viewing directions, each relative to
    the mean of the references, and from what is heard.

    Source:
        Our addition to AE-NeRF and DFRF, after IBRNet (Wang et al., CVPR 2021, section 3.2), which blends
        colours of its source views. Differs from it: the blend is a start that the field's colour corrects.

    Args:
        feature_dim: Channels of a reference's feature.
        width: Channels of the hidden layer.
    """

    def __init__(self, feature_dim: int, width: int = 16) -> None:
        super().__init__()
        self.hidden = nn.Linear(feature_dim + 5, width)
        self.score = nn.Linear(width, 1, bias=False)
        nn.init.zeros_(self.score.weight)

    def forward(
        self,
        features: Float[Tensor, "samples references channels"],
        colours: Float[Tensor, "samples references 3"],
        facing: Float[Tensor, "samples references"],
        heard: Float[Tensor, "samples references"],
    ) -> Float[Tensor, "samples 6"]:
        """Blend.

        Args:
            features: What lies at the projection of each point in each reference.
            colours: The pixels there, in [0, 1].
            facing: Cosine between the directions in which the reference and the frame see the point.
            heard: Weight of each reference by its sound; their sum is 1.

        Returns:
            Standard deviation of each colour over the references, and the blended colour.
        """
        number = colours.shape[1]
        apart = colours - colours.mean(dim=1, keepdim=True)
        # Cameras of one clip see a point from nearly the same side: differences of cosines are tiny.
        angles = 1 - facing.clamp(-1, 1)
        nearer = (angles.mean(dim=1, keepdim=True) - angles) / (angles.mean(dim=1, keepdim=True) + 1e-4)
        beside = features - features.mean(dim=1, keepdim=True)
        told = torch.cat([beside, apart, nearer[..., None], (heard * number - 1)[..., None]], dim=2)
        weights = self.score(self.hidden(told).relu()).softmax(dim=1)
        blended = (weights * colours).sum(dim=1)
        # A square root has no slope at zero, where all references agree.
        spread = (apart.square().mean(dim=1) + 1e-6).sqrt()
        return torch.cat([spread, blended], dim=1)
