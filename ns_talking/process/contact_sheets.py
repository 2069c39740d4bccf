"""Contact sheets of a processed clip: pictures on which a person sees at a glance what went wrong."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from ns_talking.data.format import Region, image_name
from ns_talking.data.landmarks import LandmarkScheme
from ns_talking.process.frame_pool import UsableFrames, in_threads
from ns_talking.process.step import Workspace
from ns_talking.process.torso import behind

_TILE_PX = 256
_COLUMNS = 6
_REGION_COLOURS = {
    Region.BACKGROUND: (40, 40, 40),
    Region.HEAD: (235, 90, 80),
    Region.TORSO: (80, 190, 90),
    Region.LIPS: (250, 60, 220),
    Region.EYES: (250, 225, 60),
    Region.INNER_MOUTH: (60, 220, 240),
}
_AXIS_LENGTH = 0.6
"""World units, 15 cm."""


class ContactSheets:
    """Draws sheets of chosen frames of one clip."""

    def __init__(self, workspace: Workspace, frames: UsableFrames) -> None:
        self._workspace, self._frames = workspace, frames
        self._focal = float(np.load(workspace.work("head_pose.npz"))["focal"])
        self._poses = np.load(workspace.head_poses)
        self._plate = cv2.cvtColor(cv2.imread(str(workspace.background)), cv2.COLOR_BGR2RGB)

    def axes(self, indices: list[int]) -> UInt8[np.ndarray, "height width 3"]:
        """Draw the head's axes: red to the image's right, green out of the face, blue upwards."""

        def draw(index: int) -> np.ndarray:
            image = self._workspace.read_image(index)
            height, width = image.shape[:2]
            ends = _AXIS_LENGTH * np.array([[0, 0, 0], [1, 0, 0], [0, -1, 0], [0, 0, 1]])
            points = project(ends, self._poses[index], self._focal, width, height)
            origin, *tips = [tuple(np.rint(point).astype(int).tolist()) for point in points]
            for tip, colour in zip(tips, ((235, 60, 60), (60, 215, 80), (80, 130, 255)), strict=True):
                cv2.line(image, origin, tip, colour, max(2, width // 170), cv2.LINE_AA)
            return image

        return self._sheet(draw, indices)

    def landmarks(self, indices: list[int]) -> UInt8[np.ndarray, "height width 3"]:
        """Draw the landmarks: white, lips magenta, eyes yellow, jaw cyan."""

        def draw(index: int) -> np.ndarray:
            image = self._workspace.read_image(index)
            colours = _landmark_colours(self._frames.layout)
            radius = max(1, image.shape[1] // 340)
            for (x, y), colour in zip(self._frames.landmarks[index, :, :2], colours, strict=True):
                place = (round(float(x) - 0.5), round(float(y) - 0.5))
                cv2.circle(image, place, radius, colour, -1, cv2.LINE_AA)
            return image

        return self._sheet(draw, indices)

    def parsing(self, indices: list[int]) -> UInt8[np.ndarray, "height width 3"]:
        """Tint the frames by region: head red, neck and torso green, lips magenta, eyes yellow, inner mouth cyan."""
        palette = np.array([_REGION_COLOURS[region] for region in Region], dtype=np.float32)

        def draw(index: int) -> np.ndarray:
            regions = self._read(self._workspace.parsing / image_name(index, ".png"))
            return np.rint(0.55 * self._workspace.read_image(index) + 0.45 * palette[regions]).astype(np.uint8)

        return self._sheet(draw, indices)

    def layers(self, indices: list[int]) -> UInt8[np.ndarray, "height width 3"]:
        """Show, frame by frame, the frame over the plate, the torso layer on a chequerboard, and what is behind."""

        def draw(index: int) -> np.ndarray:
            image = self._workspace.read_image(index)
            regions = self._read(self._workspace.parsing / image_name(index, ".png"))
            layer = self._read(self._workspace.torso / image_name(index, ".png"))
            layer = cv2.cvtColor(layer, cv2.COLOR_BGRA2RGBA)
            cut = np.where((regions == Region.BACKGROUND)[..., None], self._plate, image)
            shown = behind(layer, _chequerboard(*regions.shape))
            return np.concatenate([_tile(cut), _tile(shown), _tile(behind(layer, self._plate))], axis=1)

        return _grid(list(in_threads(draw, indices)), 2)

    def plate(self) -> UInt8[np.ndarray, "height width 3"]:
        """Show the plate, and beside it the plate with what was never seen crossed out."""
        seen: np.ndarray = self._read(self._workspace.work("background_seen.png")) > 0
        rows, columns = np.indices(seen.shape)
        hatched = ~seen & ((rows + columns) // max(2, seen.shape[0] // 64) % 2 == 0)
        marked = np.where(hatched[..., None], np.uint8(128), self._plate)
        return np.concatenate([_tile(self._plate), _tile(marked)], axis=1)

    def _sheet(self, draw: Callable[[int], np.ndarray], indices: list[int]) -> np.ndarray:
        return _grid([_tile(image) for image in in_threads(draw, indices)], _COLUMNS)

    def _read(self, path: object) -> np.ndarray:
        image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if image is None:
            raise FileNotFoundError(f"{path} is missing or damaged. Run `ns-talking process` again with --overwrite.")
        return image


def project(
    points: Float[np.ndarray, "points 3"],
    camera_to_world: Float[np.ndarray, "4 4"],
    focal_px: float,
    width: int,
    height: int,
) -> Float[np.ndarray, "points 2"]:
    """Project world points into a frame, in px with pixel centres at whole numbers, as OpenCV draws.

    Args:
        points: In world units.
        camera_to_world: OpenGL axes.
        focal_px: Focal length in px.
        width: Width of the frame in px.
        height: Height of the frame in px.
    """
    local: np.ndarray = (points - camera_to_world[:3, 3]) @ camera_to_world[:3, :3]
    depth = np.maximum(-local[:, 2], 1e-6)
    x = width / 2 + focal_px * local[:, 0] / depth
    y = height / 2 - focal_px * local[:, 1] / depth
    return np.stack([x, y], axis=-1) - 0.5


def _landmark_colours(layout: LandmarkScheme) -> list[tuple[int, int, int]]:
    colours = [(255, 255, 255)] * layout.num_points
    parts = ((layout.jaw, (60, 220, 240)), (layout.lips, (250, 60, 220)))
    for points, colour in (*parts, (layout.right_eye, (250, 225, 60)), (layout.left_eye, (250, 225, 60))):
        for point in points:
            colours[int(point)] = colour
    return colours


def _tile(image: np.ndarray) -> np.ndarray:
    """Fit an image into a square tile."""
    height, width = image.shape[:2]
    scale = _TILE_PX / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    tile = np.zeros((_TILE_PX, _TILE_PX, 3), dtype=np.uint8)
    top, left = (_TILE_PX - size[1]) // 2, (_TILE_PX - size[0]) // 2
    tile[top : top + size[1], left : left + size[0]] = small
    return tile


def _grid(tiles: list[np.ndarray], columns: int) -> np.ndarray:
    columns = min(columns, len(tiles))
    blank = np.zeros_like(tiles[0])
    padded = tiles + [blank] * (-len(tiles) % columns)
    rows = [np.concatenate(padded[start : start + columns], axis=1) for start in range(0, len(padded), columns)]
    return np.concatenate(rows, axis=0)


def _chequerboard(height: int, width: int) -> np.ndarray:
    rows, columns = np.indices((height, width)) // max(1, height // 32)
    return np.repeat(np.where((rows + columns) % 2, 150, 105)[..., None], 3, axis=2).astype(np.uint8)
