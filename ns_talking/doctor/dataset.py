"""Checks of a dataset: files, arrays, features, and what the clip itself lacks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ns_talking.audio.levels import LEVEL_RATE_HZ, sound_levels
from ns_talking.data.ad_nerf_format import read_ad_nerf
from ns_talking.data.decoding import FrameDecoder
from ns_talking.data.format import TRANSFORMS, Portrait, read_portrait
from ns_talking.data.landmarks import aperture, face_box, outer_eye_distance, scheme
from ns_talking.driving.features import read_features
from ns_talking.metrics.lip_sound import lip_sound_lag
from ns_talking.process import checks
from ns_talking.process.blink import blinks
from ns_talking.process.clip_facts import ClipFacts, look_of, turn_deg
from ns_talking.process.drift import drift
from ns_talking.process.head_pose import pose_jitter
from ns_talking.process.verdicts import VERDICTS
from ns_talking.utils.mapped import measured
from ns_talking.utils.verdicts import Level, Verdict

_NUM_LOOKS = 24
_FOCAL_RANGE = (1.0, 3.5)
_CLIP_CHECKS: tuple[Callable[[ClipFacts], Verdict], ...] = (
    checks.clip_length,
    checks.audio_length,
    checks.lip_sync,
    drift,
    checks.face_found,
    checks.face_size,
    checks.centred,
    checks.sharp,
    checks.exposure,
    checks.steadiness,
    checks.head_motion,
    checks.mouth,
    checks.blinking,
    checks.loudness,
    checks.noise,
    checks.silences,
)
"""Checks of `process` that need nothing but a finished dataset."""


def dataset(folder: Path) -> list[Verdict]:
    """Run all checks of a dataset of ours or of the AD-NeRF family.

    A dataset that `ns-talking process` made keeps the verdicts on its clip; those of others are found here.
    """
    try:
        portrait = read_portrait(folder) if (folder / TRANSFORMS).is_file() else read_ad_nerf(folder)
    except (OSError, ValueError) as error:
        return [Verdict("files", "fail", "the dataset cannot be read", "Training would stop at once.", str(error))]
    found = f"{len(portrait.frames)} usable frames of {portrait.num_frames}, {portrait.width} x {portrait.height} px"
    own = [Verdict("files", "pass", found, "All files that frames name are there.", "")]
    own += [arrays(portrait), *features(portrait)]
    # A clip cannot be measured by arrays that are broken.
    return own if own[1].level == "fail" else [*own, *_clip_verdicts(folder, portrait)]


def arrays(portrait: Portrait) -> Verdict:
    """Poses have to be rotations, landmarks of usable frames known, blinks between 0 and 1."""
    faults = []
    usable = [frame.index for frame in portrait.frames]
    rotations = portrait.head_poses[:, :3, :3].astype(np.float64)
    if not np.isfinite(portrait.head_poses).all():
        faults.append("head poses hold NaN")
    elif np.abs(rotations @ rotations.transpose(0, 2, 1) - np.eye(3)).max() > 1e-2:
        faults.append("head poses are no rotations")
    if measured(portrait.landmarks, lambda points: np.isnan(points).any(axis=(1, 2)))[usable].any():
        faults.append("usable frames lack landmarks")
    if not np.isfinite(portrait.blink).all() or portrait.blink.min() < -0.01 or portrait.blink.max() > 1.01:
        faults.append("blinks leave 0 to 1")
    advice = "Process the video again, or export the dataset again from where it came." if faults else ""
    found = ", ".join(faults) or "poses, landmarks and blinks are sound"
    return Verdict("arrays", "fail" if faults else "pass", found, "NaN in them makes the loss NaN.", advice)


def focal(portrait: Portrait) -> Verdict:
    """A lens outside of what cameras for portraits have points to a wrong unit or a failed estimate."""
    widths = portrait.focal_px / portrait.width
    fits = _FOCAL_RANGE[0] <= widths <= _FOCAL_RANGE[1]
    advice = "" if fits else "Give the real one in px: ns-talking process VIDEO --focal PX (about 1.7 widths is usual)"
    return Verdict(
        "focal length", "pass" if fits else "warn", f"{widths:.2f} widths", "Depth is scaled by a wrong lens.", advice
    )


def features(portrait: Portrait) -> list[Verdict]:
    """Features have to be finite, to vary, and to last as long as the clip."""
    verdicts = []
    for name, path in portrait.feature_files.items():
        reason, advice = "They are what drives the face.", "Extract them again: ns-talking process with --overwrite"
        try:
            table = read_features(name, path)
            # Windows at both ends also show the silence beyond.
            middle = table.windows(portrait.duration_s * np.linspace(0.2, 0.8, 64))
        except (OSError, ValueError, ImportError) as error:
            verdicts.append(Verdict(f"{name} features", "fail", " ".join(str(error).split())[:120], reason, advice))
            continue
        off_s = table.duration_s - portrait.duration_s
        level: Level = "fail" if not np.isfinite(middle).all() or middle.std(axis=0).max() < 1e-6 else "pass"
        found = f"{table.duration_s:.2f} s, clip {portrait.duration_s:.2f} s"
        if level == "fail":
            found += "; they hold NaN or never change"
        elif abs(off_s) > 0.5:
            level = "fail"
        verdicts.append(Verdict(f"{name} features", level, found, reason, "" if level == "pass" else advice))
    return verdicts


def _clip_verdicts(folder: Path, portrait: Portrait) -> list[Verdict]:
    kept = folder / "work" / VERDICTS
    if kept.is_file():
        return [Verdict(**entry) for entry in json.loads(kept.read_text(encoding="utf-8"))]
    facts = _facts(portrait)
    return [focal(portrait), *(check(facts) for check in _CLIP_CHECKS)]


def _lips_and_level(portrait: Portrait) -> tuple[np.ndarray, np.ndarray]:
    layout = scheme(portrait.landmark_scheme)
    opening = measured(portrait.landmarks, lambda points: aperture(points, layout))
    level = sound_levels(portrait.audio)[0] if portrait.audio is not None else np.zeros(0)
    return opening, level


def _facts(portrait: Portrait) -> ClipFacts:
    """Measure what a finished dataset tells; what only the video tells is NaN, and is not asked for."""
    layout = scheme(portrait.landmark_scheme)
    opening, level = _lips_and_level(portrait)
    lags, curve = lip_sound_lag(opening, level, portrait.fps)
    best = int(np.argmax(curve))
    decoder = FrameDecoder(portrait, portrait.width, portrait.height)
    chosen = [
        portrait.frames[row] for row in np.unique(np.linspace(0, len(portrait.frames) - 1, _NUM_LOOKS).astype(int))
    ]
    boxes = measured(portrait.landmarks, lambda points: face_box(points, layout))
    eyes = measured(portrait.landmarks, lambda points: outer_eye_distance(points, layout))
    looks = []
    for frame in chosen:
        packed = decoder.decode(frame)
        looks.append(
            look_of(np.ascontiguousarray(packed[..., :3]), np.ascontiguousarray(packed[..., 7]), boxes[frame.index])
        )
    seen, nan = np.array(looks), float("nan")
    rotation, translation = pose_jitter(portrait.head_poses.astype(np.float64))
    clipped = sound_levels(portrait.audio)[1] if portrait.audio is not None else 0.0
    return ClipFacts(
        duration_s=portrait.duration_s,
        num_frames=portrait.num_frames,
        width=portrait.width,
        height=portrait.height,
        source_fps=nan,
        source_px_per_px=1.0,
        audio_s=len(level) / LEVEL_RATE_HZ,
        sound_after_picture_s=0.0,
        padded_s=0.0,
        usable_share=len(portrait.frames) / portrait.num_frames,
        several_faces_share=nan,
        eye_distance_px=float(np.nanmedian(eyes)),
        sharpness=seen[:, 0],
        brightness=seen[:, 1],
        overexposed_share=float(seen[:, 2].mean()),
        underexposed_share=float(seen[:, 3].mean()),
        reprojection_px=np.full(portrait.num_frames, nan),
        jitter_rotation_deg=rotation,
        jitter_translation=translation,
        turn_deg=turn_deg(portrait.head_poses.astype(np.float64)),
        focal_in_widths=portrait.focal_px / portrait.width,
        focal_flatness={},
        focal_fixed=False,
        aperture=opening,
        level_db=level,
        clipped_share=clipped,
        lag_s=float(lags[best]),
        lag_correlation=float(curve[best]),
        lags_s=lags,
        lag_curve=curve,
        blink=portrait.blink.astype(np.float64),
        blinks_per_minute=60 * len(blinks(portrait.blink)) / portrait.duration_s,
        off_centre=(float(seen[:, 4].mean()), float(seen[:, 5].mean())),
        cut_off_share=float(seen[:, 6].mean()),
        background_drift=nan,
        never_seen_share=nan,
        head_flicker=nan,
    )
