"""Cuts: another shot, which a dataset must not contain, and edits within one shot, which it may.

An edited interview jumps, but camera and light stay: every frame still is a view of the same head, and the sound was
cut at the same instants. A portrait can be made from it; the user is told.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from jaxtyping import Float, Int, UInt8

from ns_talking.data.landmarks import LandmarkScheme, outer_eye_distance
from ns_talking.utils.mapped import in_parts, measured

THUMBNAIL_SIZE = 32
_PICTURE_CHANGE = 0.10
"""Share of the full range by which the thumbnails on both sides of a cut differ on average."""
_TYPICAL_CHANGE = 0.05
"""The same for the median pixel, which hardly changes when only the person jumps before the same background."""
_HEAD_JUMP = 0.35
"""Outer-eye distances by which the head jumps in one frame at a cut to another framing."""
_EDIT_JUMP = 0.08
"""The same for an edit within a shot."""
_PROMINENCE = 4.0
"""A cut exceeds the median change of its neighbourhood by this factor: a pan or a fast nod does not."""
_EDIT_PROMINENCE = 8.0
_SIDE = 3
_NEIGHBOURHOOD = 12


def picture_cuts(thumbnails: Iterable[UInt8[np.ndarray, "height width 3"]]) -> Int[np.ndarray, " cuts"]:
    """Find frames that begin a new shot, from small copies of all frames, of which a few are kept at a time.

    A cut differs from the frame before, and so do the medians of three frames on either side: a flash is no cut.
    """
    changes = []
    for before, after in _sides(thumbnail.astype(np.float32).ravel() / 255 for thumbnail in thumbnails):
        if not before:
            changes.append(0.0)
            continue
        apart = np.abs(np.median(before, axis=0) - np.median(after, axis=0))
        step = np.abs(after[0] - before[-1]).mean()
        changes.append(0.0 if np.median(apart) < _TYPICAL_CHANGE else float(min(apart.mean(), step)))
    return _peaks(np.array(changes), _PICTURE_CHANGE, _PROMINENCE)


def head_cuts(landmarks: Float[np.ndarray, "frames points 3"], layout: LandmarkScheme) -> Int[np.ndarray, " cuts"]:
    """Find frames at which the head is suddenly elsewhere in the picture: another framing.

    Args:
        landmarks: NaN rows where there is no face.
        layout: Scheme of the landmarks.
    """
    return _peaks(_head_steps(landmarks, layout), _HEAD_JUMP, _PROMINENCE)


def edits(landmarks: Float[np.ndarray, "frames points 3"], layout: LandmarkScheme) -> Int[np.ndarray, " cuts"]:
    """Find frames at which the head jumps a little, while camera and background stay: the shot was edited.

    Args:
        landmarks: NaN rows where there is no face.
        layout: Scheme of the landmarks.
    """
    return _peaks(_head_steps(landmarks, layout), _EDIT_JUMP, _EDIT_PROMINENCE)


def refuse_cuts(cuts: Sequence[int] | np.ndarray, num_frames: int, fps: float, start_s: float) -> None:
    """Refuse a clip with cuts, naming the longest shot.

    Args:
        cuts: First frames of new shots.
        num_frames: Frames of the clip.
        fps: Frames per second.
        start_s: Where the clip starts in the video, in seconds, as given by the user.

    Raises:
        ValueError: When there is a cut, with its instant and the options that take the longest shot.
    """
    if len(cuts) == 0:
        return
    edges = np.concatenate([[0], np.asarray(cuts), [num_frames]]).astype(int)
    longest = int(np.argmax(np.diff(edges)))
    begin_s, end_s = start_s + edges[longest] / fps, start_s + edges[longest + 1] / fps
    instants = ", ".join(f"{start_s + cut / fps:.2f} s" for cut in cuts[:8])
    more = f" and {len(cuts) - 8} more" if len(cuts) > 8 else ""
    # Rounded inwards, so that no frame of a neighbouring shot is taken.
    begin_s, length_s = np.ceil(begin_s * 100) / 100, np.floor((end_s - begin_s) * 100 - 1) / 100
    raise ValueError(
        f"The video is cut at {instants}{more}; a portrait is made from one continuous shot. The longest one is taken "
        f"with --start {begin_s:.2f} --max-seconds {max(length_s, 0):.2f}"
    )


def _head_steps(landmarks: np.ndarray, layout: LandmarkScheme) -> Float[np.ndarray, " frames"]:
    """Measure the head's step from the frame before, in outer-eye distances; 0 next to frames without a face."""
    rigid = np.setdiff1d(np.arange(layout.num_points), layout.movable)
    distances = measured(landmarks, lambda part: outer_eye_distance(part, layout))
    if np.isnan(distances).all():
        return np.zeros(len(landmarks))
    steps = [
        np.linalg.norm(np.diff(part[:, rigid, :2], axis=0), axis=-1).mean(axis=1)
        for part in in_parts(landmarks, overlap=1)
    ]
    return np.concatenate([[0.0], np.nan_to_num(np.concatenate(steps) / np.nanmedian(distances))])


def _sides(frames: Iterable[np.ndarray]) -> Iterator[tuple[list[np.ndarray], list[np.ndarray]]]:
    """Give, for every frame, the frames just before it, and it with the frames just behind."""
    before: deque[np.ndarray] = deque(maxlen=_SIDE)
    after: deque[np.ndarray] = deque()
    for frame in frames:
        after.append(frame)
        if len(after) == _SIDE:
            yield list(before), list(after)
            before.append(after.popleft())
    while after:
        yield list(before), list(after)
        before.append(after.popleft())


def _peaks(change: Float[np.ndarray, " frames"], threshold: float, prominence: float) -> Int[np.ndarray, " cuts"]:
    found = []
    for frame in np.flatnonzero(change > threshold):
        near = change[max(0, frame - _NEIGHBOURHOOD) : frame + _NEIGHBOURHOOD + 1]
        is_highest = change[frame] >= near[max(0, min(frame, _NEIGHBOURHOOD) - _SIDE) :][: 2 * _SIDE + 1].max()
        if is_highest and change[frame] > prominence * np.median(near):
            found.append(frame)
    return np.array(found, dtype=np.int64)
