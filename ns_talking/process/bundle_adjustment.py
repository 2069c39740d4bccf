"""Bundle adjustment of one rigid object seen by one camera: focal length, shape and a pose for every frame.

The camera is a pinhole with square pixels, a known principal point and a shared focal length. A point X of the object
is seen in frame i at the perspective projection of R_i X + t_i, in OpenCV's camera axes (x right, y down, z forward).
The negative log posterior is minimised by Levenberg-Marquardt; the poses are eliminated by the Schur complement, so
that the system to be solved has 3 K + 1 unknowns however many frames there are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

HUBER_PX = 1.0
"""Residuals longer than this count linearly, not squared."""
PRIOR_SHARE = 1 / 200
"""Weight of the focal length's prior per observed landmark: one unit a frame for a mesh of 200 stable landmarks."""
_CHUNK = 512
"""Frames whose Jacobians are in memory at the same time."""


@dataclass(frozen=True)
class Priors:
    """What is believed before any frame is seen."""

    focal: float
    """Most likely focal length in px."""
    focal_log_sigma: float
    """Standard deviation of its logarithm; 0 fixes it. Landmark errors that imitate another focal length are alike in
    all frames, so that more frames do not average them out: the prior grows with the number of observations."""
    shape: Float[np.ndarray, "points 3"]
    """Most likely shape, in any unit."""
    shape_sigma: float
    """Standard deviation of each coordinate of the shape, in the unit of the shape."""


@dataclass(frozen=True)
class Bundle:
    """Camera, object and poses."""

    focal: float
    """Focal length in px."""
    shape: Float[np.ndarray, "points 3"]
    """Points of the rigid object, in the unit of the prior shape."""
    rotations: Float[np.ndarray, "frames 3 3"]
    """Object-to-camera rotations."""
    translations: Float[np.ndarray, "frames 3"]
    """Object-to-camera translations, in the unit of the shape."""

    def project(self, centre: tuple[float, float]) -> Float[np.ndarray, "frames points 2"]:
        """Project the object into every frame, in px."""
        camera = _to_camera(self, slice(None))
        return self.focal * camera[..., :2] / camera[..., 2:] + np.asarray(centre)


@dataclass(frozen=True)
class Adjustment:
    """Result of a bundle adjustment."""

    bundle: Bundle
    error_px: Float[np.ndarray, "frames points"]
    """Distance between each observed landmark and its projection."""
    cost: float
    """Negative log posterior, up to a constant."""
    iterations: int


def initial_bundle(
    landmarks: Float[np.ndarray, "frames points 3"], focal: float, centre: tuple[float, float]
) -> Bundle:
    """Guess shape and poses from landmarks that carry a relative depth at the scale of x and y (weak perspective).

    The shape is the median of all frames after similarity alignment, centred, with unit root mean square size.

    Args:
        landmarks: x, y in px and depth in the same unit, growing away from the camera.
        focal: Focal length in px.
        centre: Principal point in px.
    """
    centred = landmarks - landmarks.mean(axis=1, keepdims=True)
    shape = centred[len(centred) // 2]
    for _ in range(5):
        shape = shape - shape.mean(axis=0)
        shape = shape / np.sqrt((shape**2).sum(axis=1).mean())
        rotations, scales = _align(shape, centred)
        shape = np.median(np.einsum("fij,fki->fkj", rotations, centred) / scales[:, None, None], axis=0)
    return placed(landmarks, shape, focal, centre)


def placed(
    landmarks: Float[np.ndarray, "frames points 3"],
    shape: Float[np.ndarray, "points 3"],
    focal: float,
    centre: tuple[float, float],
) -> Bundle:
    """Guess the poses of a known shape, as `initial_bundle` does."""
    middle = landmarks.mean(axis=1, keepdims=True)
    about = shape.mean(axis=0)
    rotations, scales = _align(shape - about, landmarks - middle)
    depth = focal / scales
    offset = (middle[:, 0, :2] - np.asarray(centre)) * (depth / focal)[:, None]
    translations = np.concatenate([offset, depth[:, None]], axis=1) - rotations @ about
    return Bundle(focal, shape, rotations, translations)


def bundle_adjust(
    observed: Float[np.ndarray, "frames points 2"],
    start: Bundle,
    centre: tuple[float, float],
    priors: Priors,
    max_iterations: int = 40,
    tolerance: float = 1e-5,
) -> Adjustment:
    """Fit focal length, rigid shape and poses to landmarks.

    Args:
        observed: Landmarks in px.
        start: Where to start.
        centre: Principal point in px.
        priors: Beliefs that settle what the landmarks leave open.
        max_iterations: Steps at most.
        tolerance: The fit ends when a step lowers the cost by less than this share.
    """
    bundle = start if priors.focal_log_sigma > 0 else replace(start, focal=priors.focal)
    cost, damping, iteration = _cost(observed, bundle, centre, priors), 1e-4, 0
    while iteration < max_iterations and damping < 1e8:
        iteration += 1
        system = _normal_equations(observed, bundle, centre, priors)
        candidate, new_cost, improved = bundle, cost, False
        while not improved and damping < 1e8:
            candidate = _step(bundle, system, damping)
            new_cost = _cost(observed, candidate, centre, priors)
            improved = bool(np.isfinite(new_cost) and new_cost < cost)
            damping = damping / 5 if improved else damping * 10
        if not improved:
            break
        gain = (cost - new_cost) / cost
        bundle, cost = candidate, new_cost
        if gain < tolerance:
            break
    error = np.linalg.norm(bundle.project(centre) - observed, axis=-1)
    return Adjustment(bundle, error, cost, iteration)


def rotation_from_vector(vectors: Float[np.ndarray, "... 3"]) -> Float[np.ndarray, "... 3 3"]:
    """Turn rotation vectors (axis times angle in radians) into matrices, by Rodrigues' formula."""
    angle = np.linalg.norm(vectors, axis=-1)[..., None, None]
    cross = _cross_matrix(vectors)
    # np.sinc is sin(pi x) / (pi x), so both factors have their limits at zero.
    first, second = np.sinc(angle / np.pi), 0.5 * np.sinc(angle / (2 * np.pi)) ** 2
    return np.eye(3) + first * cross + second * (cross @ cross)


@dataclass(frozen=True)
class _System:
    pose_pose: Float[np.ndarray, "frames 6 6"]
    pose_rest: Float[np.ndarray, "frames 6 rest"]
    pose_gradient: Float[np.ndarray, "frames 6"]
    rest_rest: Float[np.ndarray, "rest rest"]
    rest_gradient: Float[np.ndarray, " rest"]
    """"Rest" is the shape, point by point, and then the logarithm of the focal length."""


def _normal_equations(observed: np.ndarray, bundle: Bundle, centre: tuple[float, float], priors: Priors) -> _System:
    num_frames, num_points = observed.shape[:2]
    rest = 3 * num_points + 1
    blocks = np.zeros((num_points, 3, 3))
    shape_focal, shape_gradient = np.zeros((num_points, 3)), np.zeros((num_points, 3))
    focal_focal = focal_gradient = 0.0
    pose_pose, pose_gradient = np.zeros((num_frames, 6, 6)), np.zeros((num_frames, 6))
    pose_rest = np.zeros((num_frames, 6, rest))
    for begin in range(0, num_frames, _CHUNK):
        part = slice(begin, begin + _CHUNK)
        rotated = np.einsum("kj,fij->fki", bundle.shape, bundle.rotations[part])
        camera = rotated + bundle.translations[part, None]
        image = bundle.focal * camera[..., :2] / camera[..., 2:]
        residual = image + np.asarray(centre) - observed[part]
        weight = _huber_weight(residual)
        by_camera = np.zeros((*image.shape, 3))
        by_camera[..., 0, 0] = by_camera[..., 1, 1] = bundle.focal / camera[..., 2]
        by_camera[..., 2] = -image / camera[..., 2:]
        by_shape = by_camera @ bundle.rotations[part, None]
        by_pose = np.concatenate([-by_camera @ _cross_matrix(rotated), by_camera], axis=-1)
        weighted_pose = by_pose * weight[..., None, None]
        weighted_shape = by_shape * weight[..., None, None]
        pose_pose[part] = np.einsum("fkri,fkrj->fij", weighted_pose, by_pose, optimize=True)
        pose_gradient[part] = np.einsum("fkri,fkr->fi", weighted_pose, residual)
        with_shape = np.swapaxes(weighted_pose, -1, -2) @ by_shape
        pose_rest[part, :, :-1] = with_shape.transpose(0, 2, 1, 3).reshape(-1, 6, rest - 1)
        pose_rest[part, :, -1] = np.einsum("fkri,fkr->fi", weighted_pose, image)
        blocks += (np.swapaxes(weighted_shape, -1, -2) @ by_shape).sum(axis=0)
        shape_focal += np.einsum("fkri,fkr->ki", weighted_shape, image)
        shape_gradient += np.einsum("fkri,fkr->ki", weighted_shape, residual)
        focal_focal += float((weight * (image**2).sum(axis=-1)).sum())
        focal_gradient += float((weight * (image * residual).sum(axis=-1)).sum())
    shape_gradient += (bundle.shape - priors.shape) / priors.shape_sigma**2
    blocks += np.eye(3) / priors.shape_sigma**2
    rest_rest = np.zeros((rest, rest))
    index = np.arange(3 * num_points).reshape(num_points, 3)
    rest_rest[index[:, :, None], index[:, None, :]] = blocks
    rest_rest[-1, :-1] = rest_rest[:-1, -1] = shape_focal.ravel()
    rest_rest[-1, -1] = focal_focal
    if priors.focal_log_sigma > 0:
        precision = num_frames * num_points * PRIOR_SHARE / priors.focal_log_sigma**2
        rest_rest[-1, -1] += precision
        focal_gradient += precision * float(np.log(bundle.focal / priors.focal))
    else:
        # A fixed focal length is an unknown that couples with nothing and has no gradient.
        rest_rest[-1, :-1] = rest_rest[:-1, -1] = 0.0
        rest_rest[-1, -1], focal_gradient = 1.0, 0.0
        pose_rest[..., -1] = 0.0
    return _System(pose_pose, pose_rest, pose_gradient, rest_rest, np.append(shape_gradient.ravel(), focal_gradient))


def _step(bundle: Bundle, system: _System, damping: float) -> Bundle:
    # Poses are whitened by the Cholesky factors of their blocks, which turns the Schur complement into one product.
    pose_pose = system.pose_pose + damping * _diagonal(system.pose_pose)
    rest = system.pose_rest.shape[-1]
    product = np.zeros((rest + 1, rest + 1))
    for begin in range(0, len(pose_pose), _CHUNK):
        part = slice(begin, begin + _CHUNK)
        right = np.concatenate([system.pose_rest[part], system.pose_gradient[part, :, None]], axis=-1)
        white = (np.linalg.inv(np.linalg.cholesky(pose_pose[part])) @ right).reshape(-1, rest + 1)
        product += white.T @ white
    rest_rest = system.rest_rest + damping * np.diag(np.diag(system.rest_rest))
    delta = -np.linalg.solve(rest_rest - product[:-1, :-1], system.rest_gradient - product[:-1, -1])
    pose_right = -(system.pose_gradient + system.pose_rest @ delta)
    pose_delta = np.linalg.solve(pose_pose, pose_right[..., None])[..., 0]
    return Bundle(
        focal=bundle.focal * float(np.exp(np.clip(delta[-1], -0.5, 0.5))),
        shape=bundle.shape + delta[:-1].reshape(-1, 3),
        rotations=rotation_from_vector(pose_delta[:, :3]) @ bundle.rotations,
        translations=bundle.translations + pose_delta[:, 3:],
    )


def _cost(observed: np.ndarray, bundle: Bundle, centre: tuple[float, float], priors: Priors) -> float:
    total = 0.0
    for begin in range(0, len(observed), _CHUNK):
        part = slice(begin, begin + _CHUNK)
        camera = _to_camera(bundle, part)
        if (camera[..., 2] <= 0).any():
            return float("inf")
        image = bundle.focal * camera[..., :2] / camera[..., 2:] + np.asarray(centre)
        error = np.linalg.norm(image - observed[part], axis=-1)
        robust = np.where(error < HUBER_PX, error**2 / 2, HUBER_PX * (error - HUBER_PX / 2))
        total += float(robust.sum())
    total += float((((bundle.shape - priors.shape) / priors.shape_sigma) ** 2).sum()) / 2
    if priors.focal_log_sigma > 0:
        deviation = float(np.log(bundle.focal / priors.focal)) / priors.focal_log_sigma
        total += observed.shape[0] * observed.shape[1] * PRIOR_SHARE * deviation**2 / 2
    return total


def _to_camera(bundle: Bundle, part: slice) -> np.ndarray:
    return np.einsum("kj,fij->fki", bundle.shape, bundle.rotations[part]) + bundle.translations[part, None]


def _huber_weight(residual: np.ndarray) -> np.ndarray:
    return np.minimum(1.0, HUBER_PX / np.maximum(np.linalg.norm(residual, axis=-1), 1e-12))


def _cross_matrix(vectors: np.ndarray) -> np.ndarray:
    matrix = np.zeros((*vectors.shape, 3))
    x, y, z = vectors[..., 0], vectors[..., 1], vectors[..., 2]
    matrix[..., 0, 1], matrix[..., 0, 2], matrix[..., 1, 2] = -z, y, -x
    matrix[..., 1, 0], matrix[..., 2, 0], matrix[..., 2, 1] = z, -y, x
    return matrix


def _diagonal(matrices: np.ndarray) -> np.ndarray:
    return matrices * np.eye(matrices.shape[-1])


def _align(shape: np.ndarray, centred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find rotation and scale that carry the shape onto every frame's centred points (Procrustes)."""
    left, singular, right = np.linalg.svd(np.einsum("fki,kj->fij", centred, shape))
    sign = np.ones((len(centred), 3))
    sign[:, 2] = np.sign(np.linalg.det(left) * np.linalg.det(right))
    rotations = (left * sign[:, None]) @ right
    return rotations, (singular * sign).sum(axis=1) / (shape**2).sum()
