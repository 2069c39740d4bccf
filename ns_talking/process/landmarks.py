"""Landmarks of one person in every frame; frames without them are marked, never dropped."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from ns_talking.data.landmarks import scheme
from ns_talking.process.cuts import edits, head_cuts, refuse_cuts
from ns_talking.process.faces import follow_person, leaves_frame
from ns_talking.process.found_faces import LANDMARKS_FILE, FoundFaces
from ns_talking.process.frame_pool import in_threads
from ns_talking.process.step import Clip, ProcessSettings, Progress, Workspace, atomic_folder
from ns_talking.utils.files import atomic_path
from ns_talking.utils.mapped import measured
from ns_talking.utils.registry import lookup

LANDMARKS: dict[str, str] = {
    "mediapipe": "ns_talking.process.landmark_detectors:MediaPipeDetector",
    "face-alignment": "ns_talking.process.landmark_detectors:FaceAlignmentDetector",
}
"""Name of a detector -> "module:class"; every value follows the protocol `LandmarkDetector`."""

MAX_UNUSABLE_SHARE = 0.2
"""A clip with a larger share of frames without a usable face is refused."""


class LandmarksStep:
    """Find the landmarks: `landmarks.npy`, with blendshapes and the number of faces in `work/`."""

    name = "landmarks"
    needs: tuple[str, ...] = ("frames",)
    version = 1

    def outputs(self, workspace: Workspace) -> list[Path]:
        """List what the step writes."""
        return [workspace.landmarks, workspace.work("blendshapes.npy"), workspace.work("faces.npy")]

    def settings_key(self, settings: ProcessSettings) -> dict[str, Any]:
        """Name the settings that matter; where the models lie does not."""
        return {"landmarks": settings.landmarks}

    def run(self, workspace: Workspace, progress: Progress) -> dict[str, Any]:
        """Detect faces in all frames and follow one person."""
        clip, settings = workspace.clip(), workspace.settings
        detector_type = lookup(LANDMARKS, settings.landmarks, "landmark detectors")
        layout = scheme(detector_type.scheme)
        # Long clips need no more memory: the points of all faces wait on disk.
        with atomic_folder(workspace.work("all_faces")) as scratch:
            with detector_type(settings.models) as detector, FoundFaces(scratch, layout.num_points) as found:
                with progress("Finding landmarks", total=clip.num_frames, unit="frames") as advance:
                    for faces in in_threads(
                        lambda index: detector.detect(workspace.read_image(index)), range(clip.num_frames)
                    ):
                        found.add(faces)
                        advance()
                version = detector.version
                landmarks, blendshapes = found.of_person(follow_person(found.frames))
            missing = measured(landmarks, lambda part: np.isnan(part).any(axis=(1, 2)))
            leaving = measured(landmarks, lambda part: leaves_frame(part, clip.width, clip.height))
            for index in np.flatnonzero(leaving):
                landmarks[index], blendshapes[index] = np.nan, np.nan
            _refuse_unusable(missing, leaving, clip)
            refuse_cuts(head_cuts(landmarks, layout), clip.num_frames, clip.fps, settings.start_s)
            jumps = edits(landmarks, layout)
            with atomic_path(workspace.landmarks) as temporary:
                landmarks.flush()
                os.replace(scratch / LANDMARKS_FILE, temporary)
        shutil.rmtree(workspace.work("all_faces"))
        num_faces = np.array([len(faces) for faces in found.frames], dtype=np.int64)
        for path, values in (
            (workspace.work("blendshapes.npy"), blendshapes),
            (workspace.work("faces.npy"), num_faces),
        ):
            with atomic_path(path) as temporary:
                np.save(temporary, values)
        return {
            "detector": version,
            "usable_frames": int((~missing & ~leaving).sum()),
            "frames_without_face": np.flatnonzero(missing).tolist(),
            "frames_with_face_cut_off": np.flatnonzero(leaving).tolist(),
            "frames_with_several_faces": int((num_faces > 1).sum()),
            "edits": jumps.tolist(),
            "notes": _notes(missing, leaving, num_faces, jumps, clip),
        }


def _refuse_unusable(missing: np.ndarray, leaving: np.ndarray, clip: Clip) -> None:
    unusable = missing | leaving
    if unusable.mean() <= MAX_UNUSABLE_SHARE:
        return
    parts = []
    if missing.any():
        parts.append(f"{missing.sum()} show no face that belongs to the person (from {_instants(missing, clip)})")
    if leaving.any():
        parts.append(f"in {leaving.sum()} the face is cut off by the edge (from {_instants(leaving, clip)})")
    edges = np.flatnonzero(np.diff(np.concatenate([[True], unusable, [True]]).astype(int)))
    begins, ends = edges[::2], edges[1::2]
    advice = "Film one person facing the camera, well lit, the whole head in view all the time"
    if len(begins):
        longest = int(np.argmax(ends - begins))
        advice += (
            f"; or take the longest usable part, {(ends[longest] - begins[longest]) / clip.fps:.1f} s long: it starts "
            f"{begins[longest] / clip.fps:.2f} s into this clip (--start, --max-seconds)"
        )
    raise ValueError(
        f"{unusable.sum()} of {clip.num_frames} frames are unusable, more than {MAX_UNUSABLE_SHARE:.0%}: "
        f"{' and '.join(parts)}. {advice}."
    )


def _instants(which: np.ndarray, clip: Clip) -> str:
    return f"{np.flatnonzero(which)[0] / clip.fps:.2f} s on"


def _notes(missing: np.ndarray, leaving: np.ndarray, num_faces: np.ndarray, jumps: np.ndarray, clip: Clip) -> list[str]:
    notes = []
    if missing.any():
        notes.append(
            f"{missing.sum()} frames show no face (the first at {np.flatnonzero(missing)[0] / clip.fps:.2f} s); "
            "they are left out of training, indices and sound stay aligned."
        )
    if leaving.any():
        notes.append(
            f"In {leaving.sum()} frames the face is cut off by the edge (the first at "
            f"{np.flatnonzero(leaving)[0] / clip.fps:.2f} s); they are left out of training."
        )
    if (num_faces > 1).any():
        notes.append(
            f"{(num_faces > 1).sum()} frames show several faces; the largest, longest-seen person was followed."
        )
    if len(jumps):
        instants = ", ".join(f"{frame / clip.fps:.2f}" for frame in jumps[:8])
        more = f" and {len(jumps) - 8} more" if len(jumps) > 8 else ""
        notes.append(
            f"The shot looks edited at {instants}{more} s: the head jumps before the same background. All frames are "
            "kept; for smooth poses take a part between two edits with --start and --max-seconds."
        )
    return notes
