"""Verdicts on a processed clip: what is good enough, what is not, and what to film differently.

Each check reads a few numbers of `ClipFacts` and returns one verdict. Thresholds carry their reason where they stand;
"fail" means that a portrait trained on the clip will disappoint, not that training is impossible.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ns_talking.audio.levels import silent_steps
from ns_talking.process.clip_facts import ClipFacts
from ns_talking.process.drift import drift
from ns_talking.process.step import FPS
from ns_talking.utils.verdicts import Level, Verdict


def judge(facts: ClipFacts) -> list[Verdict]:
    """Run all checks."""
    return [check(facts) for check in CHECKS]


def clip_length(facts: ClipFacts) -> Verdict:
    """One minute is where lips begin to generalise from mel features.

    The project's reference clip of 71 s reaches its targets; ER-NeRF's authors use one to five minutes; under a
    quarter of a minute most sounds of a language occur once or never.
    """
    level = _below(facts.duration_s, warn=60.0, fail=15.0)
    return _verdict(
        "clip length",
        level,
        f"{facts.duration_s:.1f} s",
        "The lips only learn sounds that are spoken in the clip.",
        "Film one to five minutes of continuous speech.",
    )


def frame_rate(facts: ClipFacts) -> Verdict:
    """Below 24 frames per second instants are shown twice, and lips stutter; above 25 nothing is lost but frames."""
    level = _below(facts.source_fps, warn=23.9, fail=14.0)
    return _verdict(
        "frame rate",
        level,
        f"{facts.source_fps:.2f} fps in the video, {FPS:g} in the dataset",
        "Frames are taken by time, so sound and lips stay together at any rate.",
        "Film at 25 or 30 frames per second, and switch off the variable frame rate if the camera offers it.",
    )


def audio_length(facts: ClipFacts) -> Verdict:
    """A frame lasts 0.04 s; more than 0.2 s of missing sound is heard as a cut, more than 2 s is a broken file."""
    short = max(abs(facts.audio_s - facts.duration_s), facts.padded_s)
    level = _above(short, warn=0.2, fail=2.0)
    return _verdict(
        "sound and picture length",
        level,
        f"sound {facts.audio_s:.2f} s, pictures {facts.duration_s:.2f} s, {facts.padded_s:.2f} s appended; "
        f"the video's sound starts {facts.sound_after_picture_s * 1000:+.0f} ms after its pictures",
        "The two have to cover the same time.",
        "Export the video again with sound and picture of the same length.",
    )


def lip_sync(facts: ClipFacts) -> Verdict:
    """Viewers notice sound that is 45 ms early or 125 ms late (ITU-R BT.1359), and a model learns any offset.

    Mouth opening and loudness of a speaker correlate at 0.25 and more. Speech has about four independent syllables a
    second, so chance alone reaches 2.5 standard deviations of 1 / sqrt(4 seconds); below that, or at the end of the
    lags tried, there is no peak to speak of.
    """
    found = f"sound {facts.lag_s * 1000:+.0f} ms after the lips, correlation {facts.lag_correlation:.2f}"
    chance = max(0.12, 2.5 / math.sqrt(4 * max(facts.duration_s, 1.0)))
    if facts.lag_correlation < chance or abs(facts.lag_s) >= facts.lags_s[-1]:
        return Verdict(
            "lip sync",
            "warn",
            f"no clear peak (best correlation {facts.lag_correlation:.2f}, chance reaches {chance:.2f})",
            "The clip is too short, or the lips do not follow the sound, so the offset cannot be told.",
            "Film longer; the voice has to be that of the person in the picture, without music or a second speaker.",
        )
    level = _above(abs(facts.lag_s - 0.02), warn=0.08, fail=0.16)
    return _verdict(
        "lip sync",
        level,
        found,
        "An offset between lips and sound is learned as it is.",
        f"Shift the sound of the video by {-facts.lag_s * 1000:+.0f} ms and process again.",
    )


def face_found(facts: ClipFacts) -> Verdict:
    """Frames without a face cannot train; a few are harmless, a tenth points to turning away or covering the face."""
    level = _below(facts.usable_share, warn=0.98, fail=0.85)
    return _verdict(
        "face found",
        level,
        f"in {facts.usable_share:.1%} of {facts.num_frames} frames",
        "Frames without a face are left out; sound and poses stay aligned.",
        "Keep the face towards the camera and hands away from it, or cut the video.",
    )


def one_person(facts: ClipFacts) -> Verdict:
    """A second face makes the parsing take two people for one; single frames are usually false alarms."""
    level = _above(facts.several_faces_share, warn=0.01, fail=0.2)
    return _verdict(
        "one person",
        level,
        f"several faces in {facts.several_faces_share:.1%} of the frames",
        "The largest face seen longest is followed, but others stay in the picture.",
        "Film one person alone, without pictures of faces or screens behind.",
    )


def face_size(facts: ClipFacts) -> Verdict:
    """A mouth is about half as wide as the eyes are apart; with 60 px between the eyes it has 30, teeth a few."""
    source_px = facts.eye_distance_px * facts.source_px_per_px
    share = facts.eye_distance_px / max(facts.width, facts.height)
    level = max(_below(source_px, warn=60.0, fail=30.0), _below(share, warn=0.14, fail=0.08), key=_severity)
    return _verdict(
        "face size",
        level,
        f"eyes {facts.eye_distance_px:.0f} px apart, {share:.0%} of the frame ({source_px:.0f} px in the video)",
        "Lips and teeth need pixels.",
        "Film closer or at a higher resolution, head and shoulders filling the frame; --crop head helps if the "
        "video itself is sharp.",
    )


def centred(facts: ClipFacts) -> Verdict:
    """The camera model's axis is the frame's middle; ER-NeRF's box around the head ends a quarter of a frame off."""
    off = max(abs(value) for value in facts.off_centre)
    level = max(_above(off, warn=0.15, fail=0.3), _above(facts.cut_off_share, warn=0.05, fail=1.01), key=_severity)
    return _verdict(
        "head in the frame",
        level,
        f"{facts.off_centre[0]:+.0%} right and {facts.off_centre[1]:+.0%} below the middle, "
        f"at an edge in {facts.cut_off_share:.0%} of the frames",
        "What lies outside the frame can never be rendered.",
        "Frame the whole head with some air above and beside it; --crop head centres it.",
    )


def sharp(facts: ClipFacts) -> Verdict:
    """Crete's measure on faces of one size: crisp faces give 0.4 and more, visible softness begins near 0.3."""
    typical, worst = float(np.median(facts.sharpness)), float(np.percentile(facts.sharpness, 10))
    level = max(_below(typical, warn=0.3, fail=0.2), _below(worst, warn=0.2, fail=0.0), key=_severity)
    return _verdict(
        "sharpness",
        level,
        f"{typical:.2f} typical, {worst:.2f} in the worst tenth (0 blurred, 0.6 crisp)",
        "A portrait is never sharper than its clip.",
        "Focus on the eyes, use more light and a shorter exposure, and do not upscale a small video.",
    )


def exposure(facts: ClipFacts) -> Verdict:
    """Pixels at the end of the scale have lost their shading; 5 % is a shiny forehead, 20 % a burnt face."""
    bright = float(np.median(facts.brightness))
    change = float(np.ptp(np.percentile(facts.brightness, [5, 95])))
    level = max(
        _above(facts.overexposed_share, warn=0.05, fail=0.2),
        _above(facts.underexposed_share, warn=0.15, fail=0.4),
        _below(bright, warn=50.0, fail=25.0),
        _above(change, warn=30.0, fail=70.0),
        key=_severity,
    )
    return _verdict(
        "exposure",
        level,
        f"face at grey {bright:.0f} of 255, moving by {change:.0f}; {facts.overexposed_share:.1%} burnt out, "
        f"{facts.underexposed_share:.1%} black",
        "Light that changes during the clip is learned as if the skin changed.",
        "Use soft, even, constant light from the front; lock exposure and white balance of the camera.",
    )


def tracking(facts: ClipFacts) -> Verdict:
    """At 512 px good clips reach 0.4 to 1.1 px; beyond 2 px the rigid head does not explain the landmarks."""
    size = max(facts.width, facts.height)
    error = float(np.nanmedian(facts.reprojection_px)) * 512 / size
    worst = float(np.nanpercentile(facts.reprojection_px, 95)) * 512 / size
    level = _above(error, warn=1.2, fail=2.0)
    return _verdict(
        "landmark reprojection",
        level,
        f"{error:.2f} px median, {worst:.2f} px in the worst twentieth (at 512 px)",
        "A head that is tracked badly is rendered blurred.",
        "Avoid glasses with reflections, hands at the face and fast turns; give --focal if you know it.",
    )


def steadiness(facts: ClipFacts) -> Verdict:
    """Frame-to-frame noise of single-image landmarks is 0.1 to 0.4 degrees; from 1 degree the head visibly shakes."""
    rotation = float(np.max(facts.jitter_rotation_deg))
    level = _above(rotation, warn=0.5, fail=1.0)
    return _verdict(
        "head pose jitter",
        level,
        f"{rotation:.2f} degrees, {float(np.max(facts.jitter_translation)) * 250:.1f} mm",
        "Jitter of the poses comes back as a wobbling head.",
        "Use a tripod, more light and a closer shot; smooth the poses when rendering.",
    )


def head_motion(facts: ClipFacts) -> Verdict:
    """The depth of a face and the focal length are only seen when it turns, but beyond 50 degrees the ears vanish."""
    level: Level = "warn" if facts.turn_deg < 4 or facts.turn_deg > 60 else "pass"
    return _verdict(
        "head motion",
        level,
        f"turns over {facts.turn_deg:.0f} degrees",
        "Small natural turns show the shape of the head.",
        "Speak as in a conversation: let the head move a little, without turning away from the camera.",
    )


def focal_length(facts: ClipFacts) -> Verdict:
    """When a third more or less focal length fits within 2 %, the clip does not tell it, and the prior decides."""
    costs = list(facts.focal_flatness.values())
    flat = bool(costs) and min(costs) < 1.02 and not facts.focal_fixed
    # A flat optimum is the rule, and relative poses hardly suffer: a doubt to be stated, not a fault.
    return Verdict(
        "focal length",
        "pass",
        f"{facts.focal_in_widths:.2f} widths" + (" (given)" if facts.focal_fixed else ""),
        "The clip hardly tells it, as usual, and the prior of 1.7 widths decided; --focal sets a known lens."
        if flat
        else "It is known well enough.",
        "",
    )


def mouth(facts: ClipFacts) -> Verdict:
    """Lively speech opens the inner lips by 0.08 to 0.2 eye distances; under 0.03 is the noise of the landmarks."""
    low, high = np.nanpercentile(facts.aperture, [2.5, 97.5])
    level = _below(float(high - low), warn=0.06, fail=0.03)
    return _verdict(
        "mouth opening",
        level,
        f"ranges over {high - low:.3f} eye distances",
        "Lips that hardly move in the clip will hardly move in the portrait.",
        "Speak clearly and lively, with the mouth well lit and not covered by a beard or a microphone.",
    )


def blinking(facts: ClipFacts) -> Verdict:
    """People blink 8 to 30 times a minute; none in the clip means none can be learned."""
    rate = facts.blinks_per_minute
    level: Level = "warn" if rate < 2 or rate > 60 else "pass"
    return _verdict(
        "blinks",
        level,
        f"{rate:.0f} per minute",
        "Blinks are learned from the clip and driven separately.",
        "Blink naturally while filming; with glasses, avoid reflections on them.",
    )


def loudness(facts: ClipFacts) -> Verdict:
    """Speech at -35 dB drowns in the noise of phones; over 0.1 % of samples at full scale is audible distortion."""
    if len(facts.level_db) == 0 or float(np.max(facts.level_db)) <= -80:
        return Verdict("sound level", "fail", "silence", "Without speech no lips can be learned.", "Film with sound.")
    speech = float(np.percentile(facts.level_db, 90))
    level = max(
        _below(speech, warn=-38.0, fail=-55.0), _above(facts.clipped_share, warn=0.001, fail=0.02), key=_severity
    )
    return _verdict(
        "sound level",
        level,
        f"speech at {speech:.0f} dB, {facts.clipped_share:.2%} of the samples clipped",
        "The features are made for speech at usual levels.",
        "Bring the microphone nearer, or turn its gain so that the loudest words stay below full scale.",
    )


def noise(facts: ClipFacts) -> Verdict:
    """A quiet room leaves pauses 30 dB below speech; at 15 dB features of silence look like those of a voice.

    The quietest moments of the clip stand for its noise. Someone who never pauses has none, so the verdict is at most
    a warning.
    """
    if len(facts.level_db) == 0:
        return Verdict("noise", "warn", "no sound", "There is nothing to measure.", "Film with sound.")
    span = float(np.percentile(facts.level_db, 90) - np.percentile(facts.level_db, 3))
    return _verdict(
        "noise",
        _below(span, warn=20.0, fail=-1.0),
        f"pauses lie {span:.0f} dB below the speech",
        "Lips should rest in pauses, which takes pauses that sound like silence.",
        "Film in a quiet room without music, close to the microphone, and leave some pauses.",
    )


def silences(facts: ClipFacts) -> Verdict:
    """Some silence teaches a closed mouth (2 % is 1.2 s a minute); when most of the clip is silent little is learned.

    Silent is what stays 25 dB under the loud tenth of the clip for 0.2 s or more.
    """
    share = float(silent_steps(facts.level_db).mean()) if len(facts.level_db) else 1.0
    level: Level = "fail" if share > 0.8 else "warn" if share > 0.5 or share < 0.02 else "pass"
    return _verdict(
        "silence",
        level,
        f"{share:.0%} of the clip",
        "A portrait learns to close its mouth from pauses, and to speak from speech.",
        "Leave a pause of a second now and then." if share < 0.5 else "Cut long pauses, or speak more.",
    )


def background(facts: ClipFacts) -> Verdict:
    """Sensor noise and compression give 1 to 4 grey levels; 10 means that camera or scene move."""
    if not np.isfinite(facts.background_drift):
        return Verdict("background", "pass", "not measured", "The background step left no figures.", "")
    return _verdict(
        "background",
        _above(facts.background_drift, warn=6.0, fail=20.0),
        f"frames differ from the plate by {facts.background_drift:.1f} grey levels, "
        f"{facts.never_seen_share:.0%} of it is never seen",
        "One still plate stands for the background of all frames.",
        "Put the camera on a tripod before a still background.",
    )


def parsing_steadiness(facts: ClipFacts) -> Verdict:
    """The head's area changes by less than 1 % from frame to frame; more is an edge that flickers."""
    if not np.isfinite(facts.head_flicker):
        return Verdict("parsing", "pass", "not measured", "The parsing step left no figures.", "")
    return _verdict(
        "parsing",
        _above(facts.head_flicker, warn=0.01, fail=0.04),
        f"the head's area flickers by {facts.head_flicker:.2%}",
        "An edge that flickers is learned as a soft, grey one.",
        "Film before a background that differs from hair and clothes; look at the parsing below.",
    )


CHECKS: tuple[Callable[[ClipFacts], Verdict], ...] = (
    clip_length,
    frame_rate,
    audio_length,
    lip_sync,
    drift,
    face_found,
    one_person,
    face_size,
    centred,
    sharp,
    exposure,
    tracking,
    steadiness,
    head_motion,
    focal_length,
    mouth,
    blinking,
    loudness,
    noise,
    silences,
    background,
    parsing_steadiness,
)
"""All checks, in the order of the report."""


def _severity(level: Level) -> int:
    return ("pass", "warn", "fail").index(level)


def _below(value: float, warn: float, fail: float) -> Level:
    return "fail" if value < fail else "warn" if value < warn else "pass"


def _above(value: float, warn: float, fail: float) -> Level:
    return "fail" if value > fail else "warn" if value > warn else "pass"


def _verdict(name: str, level: Level, found: str, reason: str, advice: str) -> Verdict:
    return Verdict(name, level, found, reason, "" if level == "pass" else advice)
