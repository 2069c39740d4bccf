"""Rendering of the procedural talking head: frames, parsing, classes, torso layers and landmarks, all exact."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from ns_talking.data.face_classes import REGION_OF_CLASS
from ns_talking.data.format import HEAD_REGIONS, Region
from ns_talking.demo.identity import Identity
from ns_talking.demo.mesh import NUM_CHANNELS, Mesh
from ns_talking.demo.raster import compose, rasterise, shade, vertex_normals
from ns_talking.demo.rig import Rig, build_rig
from ns_talking.demo.torso import build_torso, build_wall

FOCAL_OVER_WIDTH = 1.7
CAMERA_RADIUS = 3.3
_AIM_Z = 0.06
# Directions towards the lights as the camera sees the scene (x right, y away from the camera, z up), and strengths.
_LIGHTS = np.array([[-0.55, -0.72, 0.52, 0.78], [0.75, -0.60, 0.15, 0.26], [0.0, 0.75, 0.65, 0.22]])
_LIGHTS[:, :3] /= np.linalg.norm(_LIGHTS[:, :3], axis=1, keepdims=True)
_AMBIENT = 0.30
_IS_HEAD = np.array([region in HEAD_REGIONS for region in Region])


class HeadFrame(NamedTuple):
    """One frame of the procedural head."""

    image: UInt8[np.ndarray, "height width 3"]
    parsing: UInt8[np.ndarray, "height width"]
    """`Region` of every pixel."""
    torso: UInt8[np.ndarray, "height width 4"]
    """Neck and shoulders alone, as if the head were not there; straight alpha."""
    landmarks: Float[np.ndarray, "68 3"]
    classes: UInt8[np.ndarray, "height width"]
    """`FaceClass` of every pixel, of the region that `parsing` tells."""


@dataclass(frozen=True)
class HeadFrames:
    """A clip of the procedural head, frame by frame."""

    images: UInt8[np.ndarray, "frames height width 3"]
    parsing: UInt8[np.ndarray, "frames height width"]
    torso: UInt8[np.ndarray, "frames height width 4"]
    """Neck and shoulders alone, as if the head were not there; straight alpha."""
    landmarks: Float[np.ndarray, "frames 68 3"]
    classes: UInt8[np.ndarray, "frames height width"]
    background: UInt8[np.ndarray, "height width 3"]
    focal_px: float


def neutral_camera_to_world() -> Float[np.ndarray, "4 4"]:
    """Camera of a head at rest: OpenGL axes, in front of the face."""
    camera_to_world = np.eye(4)
    camera_to_world[:3, :3] = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    camera_to_world[:3, 3] = (0.0, -CAMERA_RADIUS, _AIM_Z)
    return camera_to_world


def project(
    points: Float[np.ndarray, "points 3"], camera_to_world: Float[np.ndarray, "4 4"], size: int
) -> Float[np.ndarray, "points 3"]:
    """Project world points into a square image.

    Returns:
        x and y in px (pixel centres at +0.5) and the distance along the optical axis in world units.
    """
    local = (points - camera_to_world[:3, 3]) @ camera_to_world[:3, :3]
    distance = np.negative(local[:, 2])
    focal = FOCAL_OVER_WIDTH * size
    return np.stack(
        [size / 2 + focal * local[:, 0] / distance, size / 2 - focal * local[:, 1] / distance, distance], axis=1
    )


class HeadRenderer:
    """Draws one identity at one image size."""

    def __init__(self, who: Identity, size: int = 128, samples: int | None = None) -> None:
        """Build the meshes.

        Args:
            who: The person.
            size: Width and height of the images in px.
            samples: Samples per pixel along each axis; by default more for smaller images.
        """
        self.size = size
        self.samples = samples or (3 if size <= 192 else 2)
        self.rig: Rig = build_rig(who, density=max(1.0, size * self.samples / 512))
        self.torso, self.torso_share = build_torso(who)
        self.background = build_wall(who, size)

    def frame(self, aperture: float, width: float, blink: float, head_pose: Float[np.ndarray, "4 4"]) -> HeadFrame:
        """Draw one frame.

        Args:
            aperture: Opening of the inner lips over the outer-eye distance.
            width: Width of the mouth relative to rest.
            blink: 0 open, 1 closed.
            head_pose: Camera-to-world; the head stands still in the world.
        """
        neutral = neutral_camera_to_world()
        # The head's motion as the room sees it: what moves the camera in the head's world moves the head in the room.
        head_to_room = neutral @ np.linalg.inv(head_pose)
        shaped = self.rig.shape(aperture, width, blink)
        head_buffers = self._draw(self.rig.mesh, _transform(shaped, head_to_room))
        rest = self.torso.positions
        share = self.torso_share[:, None]
        torso_buffers = self._draw(self.torso, rest + share * (_transform(rest, head_to_room) - rest))
        side = self.size
        image = np.zeros((side, side, 3), dtype=np.uint8)
        parsing, classes = (np.zeros((side, side), dtype=np.uint8) for _ in range(2))
        torso = np.zeros((side, side, 4), dtype=np.uint8)
        known = self.background, self.samples, REGION_OF_CLASS, _IS_HEAD
        compose(*head_buffers, *torso_buffers, *known, image, parsing, classes, torso)
        points = project(shaped[self.rig.landmarks].astype(np.float64), head_pose, self.size)
        origin = project(np.zeros((1, 3)), head_pose, self.size)[0, 2]
        points[:, 2] = (points[:, 2] - origin) * FOCAL_OVER_WIDTH * self.size / origin
        return HeadFrame(image, parsing, torso, points.astype(np.float32), classes)

    def _draw(self, mesh: Mesh, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Draw a mesh in the room: display colours, classes and inverse depths of all samples."""
        side = self.size * self.samples
        positions = np.ascontiguousarray(positions, dtype=np.float32)
        normals = vertex_normals(positions, mesh.triangles, mesh.weld)
        attributes = np.concatenate([mesh.albedo, mesh.gloss[:, None], normals], axis=1)
        assert attributes.shape[1] == NUM_CHANNELS
        projected = project(positions.astype(np.float64), neutral_camera_to_world(), side)
        depth = np.zeros((side, side), dtype=np.float32)
        classes = np.zeros((side, side), dtype=np.uint8)
        buffer = np.zeros((side, side, NUM_CHANNELS), dtype=np.float32)
        rasterise(
            np.ascontiguousarray(projected[:, :2]),
            1.0 / projected[:, 2],
            mesh.triangles,
            mesh.classes,
            mesh.two_sided,
            attributes,
            depth,
            classes,
            buffer,
        )
        colours = np.zeros((side, side, 3), dtype=np.float32)
        shade(buffer, classes, _LIGHTS, _AMBIENT, np.array([0.0, -1.0, 0.0]), colours)
        return colours, classes, depth


def iterate_frames(
    renderer: HeadRenderer,
    aperture: Float[np.ndarray, " frames"],
    width: Float[np.ndarray, " frames"],
    blink: Float[np.ndarray, " frames"],
    head_poses: Float[np.ndarray, "frames 4 4"],
) -> Iterator[HeadFrame]:
    """Draw a clip in time order on all cores, a few frames ahead."""
    workers = max(1, os.cpu_count() or 1)
    ahead = 4 * workers
    with ThreadPoolExecutor(workers) as pool:
        jobs = []
        for index in range(len(aperture) + ahead):
            if index < len(aperture):
                arguments = (float(aperture[index]), float(width[index]), float(blink[index]), head_poses[index])
                jobs.append(pool.submit(renderer.frame, *arguments))
            if index >= ahead:
                yield jobs[index - ahead].result()
                jobs[index - ahead] = None


def render(
    who: Identity,
    aperture: Float[np.ndarray, " frames"],
    width: Float[np.ndarray, " frames"],
    blink: Float[np.ndarray, " frames"],
    head_poses: Float[np.ndarray, "frames 4 4"],
    size: int = 128,
) -> HeadFrames:
    """Draw a whole clip in memory.

    Args:
        who: The person.
        aperture: Opening of the inner lips over the outer-eye distance, seen from the front.
        width: Width of the mouth relative to rest.
        blink: 0 open, 1 closed.
        head_poses: Camera-to-world, OpenGL axes; see `ns_talking.demo.motion`.
        size: Width and height in px.
    """
    renderer = HeadRenderer(who, size)
    drawn = iterate_frames(renderer, aperture, width, blink, head_poses)
    images, parsing, torso, landmarks, classes = zip(*drawn, strict=True)
    return HeadFrames(
        images=np.stack(images),
        parsing=np.stack(parsing),
        torso=np.stack(torso),
        landmarks=np.stack(landmarks),
        classes=np.stack(classes),
        background=renderer.background,
        focal_px=FOCAL_OVER_WIDTH * size,
    )


def _transform(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return points @ matrix[:3, :3].T + matrix[:3, 3]
