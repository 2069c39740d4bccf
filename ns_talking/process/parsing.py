"""Parsing of frames into head, torso with neck, background, lips, eyes and inner mouth.

The person comes from a segmentation model, the border between head and neck from the jaw line of the landmarks, long
hair from the model where it knows hair and from colour and place where it does not. Confidences are averaged with the
frames before and after, moved along with the head, so that edges do not flicker.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from ns_talking.data.face_axes import FaceAxes
from ns_talking.data.format import HEAD_REGIONS, Region, image_name
from ns_talking.data.landmarks import LandmarkScheme
from ns_talking.process.frame_pool import UsableFrames, in_threads, spread, usable_frames, write_png
from ns_talking.process.jaw_line import above_jaw, paint_face_parts
from ns_talking.process.long_hair import find_long_hair, hanging, neck_patch
from ns_talking.process.person_masks import MASK_SIZE, enlarge, fill_holes, open_segmenter, parser_name
from ns_talking.process.step import ProcessSettings, Progress, Workspace, atomic_folder
from ns_talking.utils.mapped import release

_NUM_HAIR_FRAMES = 32
_FORGET_EVERY = 64
_NEIGHBOUR_WEIGHT = 0.5
"""Weight of the frame before and of the one after, against 1 for the frame itself."""

_JUMP = 0.3
"""Motion of the face from frame to frame that only an edit explains, in outer-eye distances: 2.7 cm in 0.04 s."""
_SPECK_SHARE = 0.004
"""Share of the image below which a piece of torso is none."""


class ParsingStep:
    """Writes `parsing/`."""

    name = "parsing"
    needs = ("frames", "landmarks")
    version = 1

    def outputs(self, workspace: Workspace) -> list[Path]:
        """Files and folders that exist when the step is done."""
        return [workspace.parsing]

    def settings_key(self, settings: ProcessSettings) -> dict[str, Any]:
        """Only the settings that affect its outputs."""
        return {"parsing": parser_name(settings)}

    def run(self, workspace: Workspace, progress: Progress) -> dict[str, Any]:
        """Do the step."""
        frames = usable_frames(workspace)
        notes = []
        with atomic_folder(workspace.work("masks")) as scratch:
            masks = _Masks(workspace, frames)
            _segment(masks, scratch, progress)
            if masks.hair is None and _find_hanging_hair(masks, scratch, progress):
                notes.append(
                    "Long hair was found by its colour and place: look at the parsing in the report. "
                    "The model selfie_multiclass_256x256.tflite knows hair and follows it better."
                )
            with atomic_folder(workspace.parsing) as folder:
                shares = _write(masks, folder, progress)
        shutil.rmtree(workspace.work("masks"))
        return {
            "parser": parser_name(workspace.settings),
            "long_hair": masks.hair is not None,
            "head_share": round(float(shares[:, 0].mean()), 4),
            "torso_share": round(float(shares[:, 1].mean()), 4),
            "head_area_flicker": round(_flicker(shares[:, 0]), 5),
            "notes": notes,
        }


class _Masks:
    """Raw masks of the clip, and how one frame's parsing is made of them."""

    def __init__(self, workspace: Workspace, frames: UsableFrames) -> None:
        clip = workspace.clip()
        self.workspace, self.indices = workspace, frames.indices
        self.landmarks, self.layout = frames.landmarks, frames.layout
        self.num_frames, self.width, self.height = clip.num_frames, clip.width, clip.height
        self.person: np.ndarray = np.zeros((0, MASK_SIZE, MASK_SIZE), np.uint8)
        self.hair: np.ndarray | None = None
        self._scale = np.array([MASK_SIZE / clip.width, MASK_SIZE / clip.height])
        self._usable = set(frames.indices)

    def points(self, index: int) -> Float[np.ndarray, "points 2"]:
        """Landmarks of a frame in px."""
        return self.landmarks[index, :, :2].astype(np.float64)

    def small_landmarks(self, index: int) -> Float[np.ndarray, "points 2"]:
        """Landmarks of a frame in px of the masks."""
        return self.points(index) * self._scale

    def forget(self, index: int) -> None:
        """Hand back, now and then, the memory of frames that were read or written."""
        if index % _FORGET_EVERY == 0:
            for table in (self.person, self.hair, self.landmarks):
                release(table)

    def small_image(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
        """Frame at the size of the masks."""
        return cv2.resize(self.workspace.read_image(index), (MASK_SIZE, MASK_SIZE), interpolation=cv2.INTER_AREA)

    def above(self, index: int) -> Bool[np.ndarray, "height width"]:
        """The head's side of the jaw line, at the size of the masks."""
        return above_jaw(self.small_landmarks(index), self.layout, MASK_SIZE, MASK_SIZE) > 0

    def smooth(self, masks: UInt8[np.ndarray, "frames height width"], index: int) -> Float[np.ndarray, "height width"]:
        """Average a frame's mask with its neighbours', which follow the head above the jaw line."""
        total, weight = masks[index].astype(np.float32), 1.0
        above: np.ndarray | None = None
        for neighbour in (index - 1, index + 1):
            if neighbour not in self._usable or self._jumps(neighbour, index):
                continue
            above = self.above(index) if above is None else above
            moved = cv2.warpAffine(
                masks[neighbour],
                _face_motion(self.small_landmarks(neighbour), self.small_landmarks(index), self.layout),
                (MASK_SIZE, MASK_SIZE),
                borderMode=cv2.BORDER_REPLICATE,
            )
            total += _NEIGHBOUR_WEIGHT * np.where(above, moved, masks[neighbour])
            weight += _NEIGHBOUR_WEIGHT
        return total / weight

    def regions(self, index: int) -> UInt8[np.ndarray, "height width"]:
        """Parse one frame."""
        soft = _one_person(self.smooth(self.person, index), self.small_landmarks(index))
        points = self.points(index)
        person = enlarge(soft, self.width, self.height) > 127
        head = above_jaw(points, self.layout, self.width, self.height) > 0
        hair = self._hanging_hair(index, soft > 127)
        if hair is not None:
            joined = (hair | self.above(index)).astype(np.uint8) * 255
            head |= enlarge(cv2.GaussianBlur(joined, (0, 0), 1.2), self.width, self.height) > 127
        regions = np.where(person, np.where(head, Region.HEAD, Region.TORSO), Region.BACKGROUND).astype(np.uint8)
        _give_specks_to_head(regions)
        paint_face_parts(regions, points, self.layout)
        return regions

    def _jumps(self, first: int, second: int) -> bool:
        """Say whether the face moves further than it can between two frames: the clip was edited there."""
        before = FaceAxes.of(self.small_landmarks(first), self.layout)
        after = FaceAxes.of(self.small_landmarks(second), self.layout)
        return float(np.linalg.norm(after.origin - before.origin)) > _JUMP * after.eye_distance_px

    def _hanging_hair(self, index: int, person: np.ndarray) -> np.ndarray | None:
        if self.hair is None:
            return None
        points = self.small_landmarks(index)
        probability = self.smooth(self.hair, index) / 255
        neck = neck_patch(points, self.layout, MASK_SIZE, MASK_SIZE)
        return hanging(probability, person, self.above(index), neck)


def _segment(masks: _Masks, scratch: Path, progress: Progress) -> None:
    """Run the model over the usable frames; the masks lie on disk, so that long clips need no more memory."""
    with open_segmenter(masks.workspace.settings, progress) as segmenter:
        masks.person = _on_disk(scratch / "person.npy", masks.num_frames)
        if segmenter.knows_hair:
            masks.hair = _on_disk(scratch / "hair.npy", masks.num_frames)
        images = in_threads(masks.small_image, masks.indices)
        with progress("Segmenting the person", total=len(masks.indices), unit="frames") as advance:
            for index, image in zip(masks.indices, images, strict=True):
                found = segmenter.segment(image)
                masks.person[index] = found.person
                if masks.hair is not None and found.hair is not None:
                    masks.hair[index] = found.hair
                masks.forget(index)
                advance()


def _find_hanging_hair(masks: _Masks, scratch: Path, progress: Progress) -> bool:
    """Estimate hair in all frames when the person has long hair; say whether that is so."""
    sample = spread(masks.indices, _NUM_HAIR_FRAMES)
    long_hair = find_long_hair(
        list(in_threads(masks.small_image, sample)),
        [masks.person[index] > 127 for index in sample],
        [masks.above(index) for index in sample],
        [masks.small_landmarks(index) for index in sample],
        masks.layout,
    )
    if long_hair is None:
        return False

    def estimate(index: int) -> np.ndarray:
        probability = long_hair.probability(masks.small_image(index), masks.small_landmarks(index), masks.layout)
        return np.rint(probability * 255).astype(np.uint8)

    hair = _on_disk(scratch / "hair.npy", masks.num_frames)
    with progress("Following long hair", total=len(masks.indices), unit="frames") as advance:
        for index, probability in zip(masks.indices, in_threads(estimate, masks.indices), strict=True):
            hair[index] = probability
            masks.forget(index)
            if index % _FORGET_EVERY == 0:
                release(hair)
            advance()
    masks.hair = hair
    return True


def _write(masks: _Masks, folder: Path, progress: Progress) -> Float[np.ndarray, "frames 2"]:
    """Write the parsing images.

    Returns:
        Share of the image that is head, share that is torso, per usable frame.
    """

    def write(index: int) -> tuple[float, float]:
        regions = masks.regions(index)
        write_png(folder / image_name(index, ".png"), regions)
        counts = np.bincount(regions.ravel(), minlength=len(Region)) / regions.size
        return float(counts[list(HEAD_REGIONS)].sum()), float(counts[Region.TORSO])

    shares = []
    with progress("Parsing", total=len(masks.indices), unit="frames") as advance:
        for index, share in zip(masks.indices, in_threads(write, masks.indices), strict=True):
            shares.append(share)
            masks.forget(index)
            advance()
    return np.array(shares)


def _on_disk(path: Path, num_frames: int) -> np.ndarray:
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(num_frames, MASK_SIZE, MASK_SIZE))


def _face_motion(
    before: Float[np.ndarray, "points 2"], after: Float[np.ndarray, "points 2"], layout: LandmarkScheme
) -> Float[np.ndarray, "2 3"]:
    """Similarity that carries the face of one frame onto that of another, for `cv2.warpAffine`."""
    start, end = FaceAxes.of(before, layout), FaceAxes.of(after, layout)
    turn = np.stack([end.right, end.down], axis=1) @ np.stack([start.right, start.down], axis=0)
    linear = turn * (end.eye_distance_px / start.eye_distance_px)
    shift = end.origin - 0.5 - linear @ (start.origin - 0.5)
    return np.concatenate([linear, shift[:, None]], axis=1)


def _one_person(
    soft: Float[np.ndarray, "height width"], landmarks: Float[np.ndarray, "points 2"]
) -> UInt8[np.ndarray, "height width"]:
    """Drop what is not joined to the face, and fill holes."""
    mask = soft > 127
    _, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    columns, rows = np.clip(landmarks.astype(int), 0, MASK_SIZE - 1).T
    votes = np.bincount(labels[rows, columns])
    votes[0] = 0
    if not votes.any():
        return np.rint(soft).astype(np.uint8)
    own = labels == votes.argmax()
    # Holes open to the image's edge are background seen through an arm or a curl; only enclosed ones are filled.
    holes = (fill_holes(own) & ~own) & (soft > 25)
    near = cv2.dilate(own.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    return np.rint(np.where(holes, np.maximum(soft, 160), np.where(near, soft, np.minimum(soft, 100)))).astype(np.uint8)


def _give_specks_to_head(regions: UInt8[np.ndarray, "height width"]) -> None:
    """Turn pieces of torso that are too small to be one into head, in place: crumbs under an ear, between strands."""
    count, labels, statistics, _ = cv2.connectedComponentsWithStats((regions == Region.TORSO).astype(np.uint8))
    small = statistics[:, cv2.CC_STAT_AREA] < _SPECK_SHARE * regions.size
    small[0] = False
    if count > 1 and small.any():
        regions[small[labels]] = Region.HEAD


def _flicker(share: Float[np.ndarray, " frames"]) -> float:
    """Robust sigma of the second difference of an area over time, relative to the area."""
    if len(share) < 3:
        return 0.0
    second = np.abs(np.diff(share, n=2))
    return float(1.4826 * np.median(second) / np.sqrt(6) / max(share.mean(), 1e-9))
