"""Losses: from outputs and targets to per-ray values or scalars. Weights live in the configurations."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

ColourLoss = Literal["squared", "absolute", "charbonnier"]
_CHARBONNIER = 0.01
"""Difference of colours, of 1, around which the loss turns from squared to absolute."""


def squared_error(rgb: Float[Tensor, "rays 3"], target: Float[Tensor, "rays 3"]) -> Float[Tensor, " rays"]:
    """Mean squared error of each ray's colour."""
    return (rgb - target).square().mean(dim=-1)


def colour_error(
    rgb: Float[Tensor, "rays 3"], target: Float[Tensor, "rays 3"], kind: ColourLoss
) -> Float[Tensor, " rays"]:
    """Error of each ray's colour.

    Args:
        rgb: Rendered colours.
        target: Colours of the frame.
        kind: `squared` as in RAD-NeRF and ER-NeRF; `absolute`, which SyncTalk trains with; `charbonnier`, which is
            squared below a hundredth of the range of colours and absolute above (Charbonnier et al., ICIP 1994).
    """
    if kind == "squared":
        return squared_error(rgb, target)
    if kind == "absolute":
        return (rgb - target).abs().mean(dim=-1)
    return (((rgb - target).square() + _CHARBONNIER**2).sqrt() - _CHARBONNIER).mean(dim=-1)


def binary_entropy(probability: Float[Tensor, "*rays"]) -> Float[Tensor, ""]:
    """Mean entropy in bits of opacities, lowest where every ray is fully opaque or fully clear.

    Source:
        RAD-NeRF (Tang et al., 2022), section 3.5, entropy regularisation.
    """
    p = probability.clamp(1e-5, 1 - 1e-5)
    return -(p * p.log2() + (1 - p) * (1 - p).log2()).mean()


def distortion(
    weights: Float[Tensor, "rays samples"], t: Float[Tensor, "rays samples"], step: float
) -> Float[Tensor, " rays"]:
    """Spread of a ray's weights along it, least where a single thin surface makes the colour.

    Source:
        Mip-NeRF 360 (Barron et al., CVPR 2022), equation 15, over world distances; not in the portrait papers. Samples
        come in order, so the sum over pairs is one over prefix sums.

    Args:
        weights: Weight of every sample, 0 in empty slots.
        t: Distance of every sample in world units, growing along the ray.
        step: Length that every sample stands for.

    Returns:
        In world units.
    """
    moments = weights * t
    weight_before, moment_before = weights.cumsum(dim=1) - weights, moments.cumsum(dim=1) - moments
    between = 2 * (moments * weight_before - weights * moment_before).sum(dim=1)
    return between + step / 3 * weights.square().sum(dim=1)


def outside_face(strength: Float[Tensor, " rays"], in_face: Bool[Tensor, " rays"]) -> Float[Tensor, ""]:
    """Mean attention of the rays that miss the face, where nothing should follow the sound.

    Source:
        The ambient regulariser of RAD-NeRF and ER-NeRF.
    """
    return (strength * ~in_face).mean()


def eye_audio_overlap(
    eye: Float[Tensor, " rays"],
    audio: Float[Tensor, " rays"],
    in_face: Bool[Tensor, " rays"],
    num_samples: int,
) -> Float[Tensor, ""]:
    """Mean attention to the blink where the sound is attended to, so that lips do not follow blinks.

    Source:
        ER-NeRF's released training: the eye attention of a face ray, averaged over its samples, weighed by its audio
        attention, through which no gradient flows.
    """
    return (eye / num_samples * audio.detach() * in_face).mean()


def missing_at_eyes(eye: Float[Tensor, " rays"], in_eyes: Bool[Tensor, " rays"]) -> Float[Tensor, ""]:
    """Mean attention to the blink that rays through the eyes lack to the one sample that has all of it.

    A sigmoid that was pushed to 0 hardly learns any more: where that happened to the lower lids, eyes did not shut.

    Source:
        Our design.
    """
    return ((1 - eye).clamp(min=0) * in_eyes).mean()


def uncertainty_weights(uncertainty: Float[Tensor, " rays"], progress: float) -> Float[Tensor, " rays"]:
    """Weigh the colour error of rays: harder rays count more as training goes on.

    Source:
        ER-NeRF's released training; the paper does not mention the uncertainty.

    Args:
        uncertainty: Composited uncertainty of each ray, >= 0.
        progress: Share of the phase that is done, in [0, 1].

    Returns:
        Factors between 0.2 and 8.2, without gradients.
    """
    relative = len(uncertainty) * uncertainty.detach().softmax(dim=0)
    return 0.2 + 0.8 * ((1 - progress) + progress * relative).clamp(0, 10)


def uncertainty_likelihood(
    rgb: Float[Tensor, "rays 3"],
    target: Float[Tensor, "rays 3"],
    uncertainty: Float[Tensor, " rays"],
    in_face: Bool[Tensor, " rays"],
) -> Float[Tensor, " rays"]:
    """Fit the uncertainty to the error inside the face, and lower it outside.

    Source:
        ER-NeRF's released training: the error's norm (without gradient) over 2 beta^2 plus (ln beta)^2 / 2 with
        beta = 1 + u in the face, 1e-3 u elsewhere.
    """
    error = (rgb - target).norm(dim=-1).detach()
    beta = uncertainty + 1
    inside = error / (2 * beta.square()) + beta.log().square() / 2
    return torch.where(in_face, inside, 1e-3 * uncertainty)


def region_masks(
    masks: Float[Tensor, "rays passes fields"],
    accumulation: Float[Tensor, "rays passes fields"],
    lower_half: Bool[Tensor, " rays"],
) -> Float[Tensor, ""]:
    """Teach the field that follows the sound to mark the lower half of the face, and the other one to mark the rest.

    Source:
        AE-NeRF (Li et al., AAAI 2024), the loss on masks. Ours: what a field leaves transparent is not judged, for a
        mask of 1 in front of an empty background would ask for density there.

    Args:
        masks: Mask that each field draws by its own density; the first field follows the sound.
        accumulation: Opacity of each field alone.
        lower_half: Which rays meet the lower half of the face.
    """
    target = torch.stack([lower_half, ~lower_half], dim=1).to(masks)[:, None]
    return (masks - accumulation * target).square().sum(dim=(1, 2)).mean()


def mean_length(offsets: Float[Tensor, "samples references 2"]) -> Float[Tensor, ""]:
    """Mean length of offsets, 0 of none; the square root is kept from zero, where it has no slope."""
    lengths = (offsets.square().sum(dim=2) + 1e-12).sqrt()
    return lengths.sum() / max(lengths.numel(), 1)
