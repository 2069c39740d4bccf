"""FID: how far apart the distributions of rendered and real frames are."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ns_talking.metrics.base import Figure, MeasuredFrame, Measurement, MetricContext
from ns_talking.metrics.weights import INCEPTION
from ns_talking.utils.optional import require

_ENOUGH = 1000
_BATCH = 8


class Moments:
    """Mean and covariance of feature vectors, taken in as they come."""

    def __init__(self, channels: int) -> None:
        self.count = 0
        self._sum = np.zeros(channels)
        self._products = np.zeros((channels, channels))

    def add(self, features: Float[np.ndarray, "batch channels"]) -> None:
        """Take in some vectors."""
        features = features.astype(np.float64)
        self.count += len(features)
        self._sum += features.sum(axis=0)
        self._products += features.T @ features

    @property
    def mean(self) -> Float[np.ndarray, " channels"]:
        """Mean of all vectors so far."""
        return self._sum / self.count

    @property
    def covariance(self) -> Float[np.ndarray, "channels channels"]:
        """Unbiased covariance of all vectors so far."""
        return (self._products - self.count * np.outer(self.mean, self.mean)) / (self.count - 1)


def frechet_distance(ours: Moments, theirs: Moments) -> float:
    """Compute the squared Frechet distance of two normal distributions.

    Source:
        Heusel et al., "GANs trained by a two time-scale update rule converge to a local Nash equilibrium", 2017.
    """
    first, second = ours.covariance, theirs.covariance
    # The product of covariances has the eigenvalues of this symmetric matrix, which are found several times as fast.
    variances, axes = np.linalg.eigh(first)
    turned = axes * np.sqrt(np.clip(variances, 0, None))
    roots = np.sqrt(np.clip(np.linalg.eigvalsh(turned.T @ second @ turned), 0, None)).sum()
    shift = float(np.square(ours.mean - theirs.mean).sum())
    return shift + float(np.trace(first) + np.trace(second) - 2 * roots)


class Fid:
    """FID of whole frames on the features of Inception's last pooling layer."""

    figures: ClassVar[tuple[Figure, ...]] = (
        Figure("fid", "FID", "", "lower", "Frechet distance of Inception features of rendered and real frames."),
    )
    needs_real: ClassVar[bool] = True

    def __init__(self, context: MetricContext) -> None:
        weights = context.weights(INCEPTION.name)
        module = require("torch_fidelity.feature_extractor_inceptionv3", extra=None, purpose="FID")
        network = module.FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path=str(weights))
        self._device = context.device
        self._network = network.to(context.device)
        self._waiting: list[tuple[np.ndarray, np.ndarray]] = []
        self._moments = Moments(2048), Moments(2048)

    def add(self, frame: MeasuredFrame) -> None:
        """Take in a frame of both videos."""
        assert frame.real is not None
        self._waiting.append((frame.rendered.image, frame.real.image))
        if len(self._waiting) == _BATCH:
            self._flush()

    def result(self) -> Measurement:
        """State the distance."""
        if self._waiting:
            self._flush()
        count = self._moments[0].count
        if count < 2:
            return Measurement(missing={"fid": "FID needs 2 frames at least, and says something from 1,000 on."})
        note = {"fid": f"of {count} frames; below {_ENOUGH} it is mostly noise"} if count < _ENOUGH else {}
        return Measurement({"fid": frechet_distance(*self._moments)}, notes=note)

    @torch.no_grad()
    def _features(self, images: list[UInt8[np.ndarray, "height width 3"]]) -> Float[np.ndarray, "batch channels"]:
        batch: Tensor = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous().to(self._device)
        return self._network(batch)[0].cpu().numpy()

    def _flush(self) -> None:
        for moments, images in zip(self._moments, zip(*self._waiting, strict=True), strict=True):
            moments.add(self._features(list(images)))
        self._waiting.clear()
