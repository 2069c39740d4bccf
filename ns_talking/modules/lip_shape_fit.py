"""Lip shape from sound: a non-linear fit that takes seconds, before a radiance field is trained.

A minute of video is too little to learn how sound moves lips through a renderer's colours, but enough to learn it from
the tracked lips themselves. The field can then be trained on the *tracked* shape, which is sharp, and driven by the
*predicted* one.

Source: our design. The predictor is the mean of two experts that err differently: kernel ridge regression on tapered
windows (Gaussian kernel plus a small linear one, which still answers where no training window is near) and a small
convolutional network. Both read the same windows and are fitted on the principal components of the lip shape.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float
from nerfstudio.configs.base_config import InstantiateConfig
from torch import Tensor, nn

from ns_talking.modules.kernel_ridge import Fold, KernelRidge
from ns_talking.modules.lip_network import LipNetwork, train_lip_network

_STRIDE_S = 0.04
"""Time between two positions of the networks' first convolution."""
_MOVED_S = 0.02
"""Time by which the networks' training windows are moved at most."""


@dataclass
class LipShapeFitConfig(InstantiateConfig):
    """How lip shape is fitted from sound."""

    _target: type = field(default_factory=lambda: LipShapeFit)
    num_components: int = 6
    """Principal components of the lip shape."""
    inner_lips_weight: float = 2.0
    """Weight of the inner lips, which make the opening, against the outer ones in the principal components."""
    span_s: float = 0.32
    """Sound around a frame that the fit reads, in seconds."""
    taper_s: float = 0.07
    """Standard deviation, in seconds, of the Gaussian that lets far sound count less in the kernel."""
    lags_s: tuple[float, ...] = (-0.04, -0.02, 0.0, 0.02, 0.04)
    """Offsets of picture and sound that are tried, in seconds; the folds choose."""
    num_projections: int = 96
    """Principal components of the windows, between which the kernel measures distances."""
    max_supports: int = 2000
    """Training windows that the kernel keeps; of longer clips evenly spaced ones."""
    num_networks: int = 1
    """Convolutional networks in the mean, 0 for the kernel alone. Each is trained once per fold and once on all."""
    network_iterations: int = 250
    """Training steps of a network."""
    num_folds: int = 5
    """Consecutive parts of the clip, each predicted by a fit on the others."""
    guard_frames: int = 12
    """Frames next to a fold that its fit does not see either, because lips and windows there overlap the fold's."""
    damping: float = 1.0
    """How far the predicted spread is raised to the tracked one: 0 not at all (least error), 1 all the way."""
    level_apart: bool = False
    """Whether the mean of all channels, the loudness of mel, is one more channel and is taken out of the others, so
    that what they say does not change with the distance to the microphone."""

    def __setstate__(self, state: dict[str, Any]) -> None:  # Any: the fields.
        """Read configs of version 0.1.0, which counted in steps of mel, a hundredth of a second each."""
        for name in ("span", "taper", "lags"):
            if name in state:
                steps = state.pop(name)
                state[f"{name}_s"] = tuple(step / 100 for step in steps) if name == "lags" else steps / 100
        self.__dict__.update(state)


@dataclass(frozen=True)
class LipShapeTraining:
    """What a fit says about the frames that it was fitted on."""

    tracked: Float[Tensor, "frames components"]
    """Components of the tracked shapes; frames without a face have the predicted ones."""
    out_of_fold: Float[Tensor, "frames components"]
    """Components predicted for each frame by a fit that did not see it, gain applied."""
    correlation: Float[Tensor, " components"]
    """Between the two, over the frames with a face."""
    spread: Float[Tensor, " components"]
    """Standard deviation of the out-of-fold prediction before the gain, as a share of the tracked one's."""


class LipShapeFit(nn.Module):
    """Predict the principal components of the lip shape from windows of audio features.

    Components are in standard deviations of the first one, so that they keep their relative size. Everything that
    prediction needs travels in the checkpoint, 1 to 2 MB with mel, 5 to 6 MB with HuBERT; nothing is trained by the
    field's optimisers. Times follow the rate of the features; they were chosen with mel, on a real clip's folds.

    Args:
        config: The fit.
        feature_channels: Channels of the audio features.
        num_points: Points of a lip shape.
        rate_hz: Feature steps per second.
    """

    def __init__(
        self, config: LipShapeFitConfig, feature_channels: int, num_points: int, rate_hz: float = 100.0
    ) -> None:
        super().__init__()
        self.config = config
        feature_channels += config.level_apart
        self.span = max(2, round(config.span_s * rate_hz))
        self.taper = config.taper_s * rate_hz
        self.lags = tuple(dict.fromkeys(round(lag_s * rate_hz) for lag_s in config.lags_s))
        self.margin = max(1, round(_MOVED_S * rate_hz))
        components = config.num_components
        self.kernel = KernelRidge(feature_channels * self.span, config.num_projections, components)
        stride = max(1, round(_STRIDE_S * rate_hz))
        self.networks = nn.ModuleList(
            LipNetwork(feature_channels, self.span, components, stride) for _ in range(config.num_networks)
        ).requires_grad_(False)
        self.register_buffer("channel_mean", torch.zeros(feature_channels))
        self.register_buffer("channel_scale", torch.ones(feature_channels))
        self.register_buffer("channel_range", torch.tensor([-1.0, 1.0])[:, None].repeat(1, feature_channels))
        self.register_buffer("lag", torch.zeros((), dtype=torch.int64))
        self.register_buffer("shape_mean", torch.zeros(num_points, 2))
        self.register_buffer("shape_basis", torch.zeros(components, num_points, 2))
        self.register_buffer("component_scale", torch.ones(components))
        self.register_buffer("component_range", torch.zeros(2, components))
        self.register_buffer("gain", torch.ones(components))
        self.channel_mean: Tensor
        self.channel_scale: Tensor
        self.channel_range: Tensor
        self.lag: Tensor
        self.shape_mean: Tensor
        self.shape_basis: Tensor
        self.component_scale: Tensor
        self.component_range: Tensor
        self.gain: Tensor

    @torch.no_grad()
    def fit(
        self,
        windows: Float[Tensor, "frames channels window"],
        shapes: Float[Tensor, "frames points 2"],
        inner_lips: Bool[Tensor, " points"],
        steps_per_frame: int = 4,
        seed: int = 0,
    ) -> LipShapeTraining:
        """Fit to the training frames of a clip.

        Args:
            windows: Raw features around each frame, in time order; the frame's instant is step `window // 2`.
            shapes: Tracked lip shapes; NaN where there is no face.
            inner_lips: Which points lie on the inner lips.
            steps_per_frame: Feature steps from one frame to the next; 4 for mel at 25 fps.
            seed: Of the networks.

        Returns:
            Tracked and out-of-fold components of the frames.

        Raises:
            ValueError: When too few frames have a face.
        """
        device = self.gain.device
        windows, shapes = self._channels(windows.detach().cpu().float()), shapes.detach().cpu().float()
        found = torch.isfinite(shapes).all(dim=2).all(dim=1)
        if int(found.sum()) < 20 * self.config.num_folds:
            raise ValueError(
                f"Lip shape needs {20 * self.config.num_folds} frames with a face to be fitted, found "
                f"{int(found.sum())}. Process a longer clip."
            )
        self.cpu()
        self._fit_statistics(windows)
        tracked = self._fit_components(shapes, found, inner_lips.cpu())
        raw = self._fit_predictors(windows, tracked, found, steps_per_frame, seed)
        spread = raw[found].std(dim=0) / tracked[found].std(dim=0)
        correlation = _correlation(raw[found], tracked[found])
        # Raising what does not follow the sound would only add noise.
        raised = spread.clamp(0.4, 1.0) ** -self.config.damping
        self.gain.copy_(torch.where(correlation > 0.3, raised, torch.ones_like(raised)))
        out_of_fold = self._finish(raw)
        tracked = torch.where(found[:, None], tracked, out_of_fold)
        self.to(device)
        return LipShapeTraining(tracked, out_of_fold, correlation, spread)

    @torch.no_grad()
    def predict(
        self, windows: Float[Tensor, "frames channels window"], use_gain: bool = True
    ) -> Float[Tensor, "frames components"]:
        """Predict the components of each frame.

        Args:
            windows: Raw features; the frame's instant is step `window // 2`, as in the fit.
            use_gain: Raise the spread as the folds advised; without, the error is least and the lips move less.
        """
        predicted = [
            self._predict_raw(self._normalised(self._channels(part), int(self.lag)))
            for part in windows.float().split(2048)
        ]
        return self._finish(torch.cat(predicted), use_gain)

    def within_range(self, components: Float[Tensor, "frames components"]) -> Float[Tensor, "frames components"]:
        """Bring components into the range of the tracked ones, beyond which no field has seen lips."""
        return torch.minimum(torch.maximum(components, self.component_range[0]), self.component_range[1])

    def components(
        self, shapes: Float[Tensor, "frames points 2"], inner_lips: Bool[Tensor, " points"]
    ) -> Float[Tensor, "frames components"]:
        """Turn lip shapes into components: those of the fit's own frames are its `tracked`."""
        weight = torch.where(inner_lips, self.config.inner_lips_weight, 1.0)[:, None].to(shapes)
        basis = (self.shape_basis * weight).flatten(1)
        centred = ((shapes - self.shape_mean) * weight).flatten(1)
        return centred @ (basis / basis.square().sum(dim=1, keepdim=True).clamp(min=1e-12)).T

    def shapes(self, components: Float[Tensor, "frames components"]) -> Float[Tensor, "frames points 2"]:
        """Turn components back into lip shapes, in the head frame."""
        return self.shape_mean + torch.einsum("fk,kpa->fpa", components, self.shape_basis)

    def _channels(self, windows: Float[Tensor, "frames features window"]) -> Float[Tensor, "frames channels window"]:
        if not self.config.level_apart:
            return windows
        level = windows.mean(dim=1, keepdim=True)
        return torch.cat([windows - level, level], dim=1)

    def _fit_statistics(self, windows: Float[Tensor, "frames channels window"]) -> None:
        values = windows.transpose(0, 1).flatten(1)
        self.channel_mean.copy_(values.mean(dim=1))
        self.channel_scale.copy_(1 / values.std(dim=1).clamp(min=1e-3))
        normalised = (values - self.channel_mean[:, None]) * self.channel_scale[:, None]
        ordered = normalised[:, :: max(1, normalised.shape[1] // 20_000)].sort(dim=1).values
        # Quieter than the quietest training sound is treated as that: digital silence is then a pause.
        edge = ordered.shape[1] // 200
        self.channel_range.copy_(torch.stack([ordered[:, edge], ordered[:, -1 - edge]]))

    def _fit_components(
        self,
        shapes: Float[Tensor, "frames points 2"],
        found: Bool[Tensor, " frames"],
        inner_lips: Bool[Tensor, " points"],
    ) -> Float[Tensor, "frames components"]:
        weight = torch.where(inner_lips, self.config.inner_lips_weight, 1.0)[:, None]
        self.shape_mean.copy_(shapes[found].mean(dim=0))
        centred = ((shapes - self.shape_mean) * weight).flatten(1)
        _, _, axes = torch.linalg.svd(centred[found], full_matrices=False)
        axes = axes[: self.config.num_components]
        largest = axes.gather(1, axes.abs().argmax(dim=1, keepdim=True))
        axes = axes * largest.sign()
        tracked = centred @ axes.T
        unit = tracked[found, 0].std()
        self.shape_basis.copy_((axes * unit).reshape(-1, *self.shape_mean.shape) / weight)
        tracked = tracked / unit
        self.component_scale.copy_(tracked[found].std(dim=0))
        self.component_range.copy_(torch.stack([tracked[found].min(dim=0).values, tracked[found].max(dim=0).values]))
        return tracked

    def _fit_predictors(
        self,
        windows: Float[Tensor, "frames channels window"],
        tracked: Float[Tensor, "frames components"],
        found: Bool[Tensor, " frames"],
        steps_per_frame: int,
        seed: int,
    ) -> Float[Tensor, "frames components"]:
        """Choose the lag, fit on all frames, and predict every frame by a fit on other folds."""
        folds = _folds(found, self.config.num_folds, self.config.guard_frames)
        best, error = torch.zeros(0), float("inf")
        for lag in self.lags:
            inputs = self._tapered(self._normalised(windows, lag))
            self.kernel.fit_projection(inputs, seed)
            candidate = self.kernel.out_of_fold(inputs, tracked, folds, self.config.max_supports)
            found_error = float((candidate - tracked)[found].square().mean())
            if found_error < error:
                best, error = candidate, found_error
                self.lag.fill_(lag)
        inputs = self._tapered(self._normalised(windows, int(self.lag)))
        self.kernel.fit_projection(inputs, seed)
        self.kernel.fit(inputs, tracked, found.nonzero()[:, 0], self.config.max_supports)
        if not self.networks:
            return best
        by_networks = torch.zeros_like(best)
        wide = self._normalised(windows, int(self.lag), self.margin)
        everything = Fold(found.nonzero()[:, 0], torch.arange(0))
        for member, network in enumerate(self.networks):
            assert isinstance(network, LipNetwork)
            for number, fold in enumerate([*folds, everything]):
                train_lip_network(
                    network,
                    wide,
                    tracked / self.component_scale,
                    fold.train,
                    self.component_scale,
                    self.config.network_iterations,
                    steps_per_frame,
                    self.margin,
                    seed=seed + 100 * member + number,
                )
                own = network(wide[fold.held_out, :, self.margin : -self.margin])
                by_networks[fold.held_out] += own * self.component_scale / len(self.networks)
        return (best + by_networks) / 2

    def _normalised(
        self, windows: Float[Tensor, "frames channels window"], lag: int, margin: int = 0
    ) -> Float[Tensor, "frames channels span"]:
        """Cut the span around each frame and z-score it; beyond the window its last step stands."""
        length = windows.shape[2]
        span = self.span + 2 * margin
        steps = torch.arange(span, device=windows.device) + length // 2 + lag - span // 2
        cut = windows[:, :, steps.clamp(0, length - 1)]
        cut = (cut - self.channel_mean[:, None]) * self.channel_scale[:, None]
        return torch.minimum(torch.maximum(cut, self.channel_range[0, :, None]), self.channel_range[1, :, None])

    def _tapered(self, normalised: Float[Tensor, "frames channels span"]) -> Float[Tensor, "frames inputs"]:
        place = torch.arange(self.span, device=normalised.device) - (self.span - 1) / 2
        return (normalised * torch.exp(-0.5 * (place / self.taper) ** 2)).flatten(1)

    def _predict_raw(self, normalised: Float[Tensor, "frames channels span"]) -> Float[Tensor, "frames components"]:
        by_kernel = self.kernel(self._tapered(normalised))
        if not self.networks:
            return by_kernel
        by_networks = sum(network(normalised) for network in self.networks) / len(self.networks)
        return (by_kernel + by_networks * self.component_scale) / 2

    def _finish(
        self, raw: Float[Tensor, "frames components"], use_gain: bool = True
    ) -> Float[Tensor, "frames components"]:
        return self.within_range(raw * self.gain if use_gain else raw)


def join_context(
    audio: Float[Tensor, "frames context channels window"], hop: int
) -> Float[Tensor, "frames channels joined"]:
    """Join the overlapping windows of a frame's context to one wide window around the frame.

    Args:
        audio: Windows of the frames around each frame, as `Condition.audio`.
        hop: Feature steps from one frame to the next; 4 for mel at 25 fps.

    Returns:
        A window whose step `joined // 2` is the frame's instant: 40 steps of mel.
    """
    context, window = audio.shape[1], audio.shape[3]
    tails = [audio[:, index, :, window - hop :] for index in range(1, context)]
    joined = torch.cat([audio[:, 0], *tails], dim=2)
    instant = context // 2 * hop + window // 2
    after = joined.shape[2] - instant
    return joined[:, :, max(0, instant - after) :]


def _folds(found: Bool[Tensor, " frames"], num_folds: int, guard: int) -> list[Fold]:
    """Cut the clip into consecutive folds."""
    edges = [round(number * len(found) / num_folds) for number in range(num_folds + 1)]
    folds = []
    for first, last in zip(edges[:-1], edges[1:], strict=True):
        seen = found.clone()
        seen[max(0, first - guard) : last + guard] = False
        folds.append(Fold(seen.nonzero()[:, 0], torch.arange(first, last)))
    return folds


def _correlation(
    left: Float[Tensor, "frames components"], right: Float[Tensor, "frames components"]
) -> Float[Tensor, " components"]:
    left, right = left - left.mean(dim=0), right - right.mean(dim=0)
    return (left * right).sum(dim=0) / (left.norm(dim=0) * right.norm(dim=0)).clamp(min=1e-9)
