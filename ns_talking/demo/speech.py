"""Speech-like sound with the movement of the mouth that belongs to it.

Sentences of an invented language: consonants and vowels at a speaker's pace, with stress, pauses and a falling pitch.
The mouth's opening and width are smooth functions of what is heard: open vowels open it, closures close it, rounded
vowels narrow it, and stress makes sound and movement larger together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d

from ns_talking.data.format import FRAME_RATE_HZ, SAMPLE_RATE_HZ
from ns_talking.demo.voice import CONTROL_RATE_HZ, Controls, sound, voice_named


@dataclass(frozen=True)
class MouthTrack:
    """Movement of the mouth at video rate; frame k shows the instant k / fps."""

    fps: float
    aperture: Float[np.ndarray, " frames"]
    """Opening of the inner lips over the outer-eye distance, as `ns_talking.data.landmarks.aperture` measures it."""
    width: Float[np.ndarray, " frames"]
    """Width of the mouth over its width at rest."""
    loudness: Float[np.ndarray, " frames"]
    """Of the voice, 0 to about 1."""

    @property
    def num_frames(self) -> int:
        """Frames of the track."""
        return len(self.aperture)

    def amplified(self, jaw: float) -> MouthTrack:
        """Open the mouth wider by a factor; the sound stays the same."""
        return MouthTrack(self.fps, np.minimum(self.aperture * jaw, 0.5), self.width, self.loudness)


@dataclass(frozen=True)
class Phone:
    """One sound of the invented language."""

    duration_s: float
    formants_hz: tuple[float, float, float]
    aperture: float
    width: float
    voicing: float = 1.0
    noise: float = 0.0
    noise_hz: float = 4000.0
    closed: bool = False
    """Whether the lips touch."""


VOWELS: dict[str, Phone] = {
    "a": Phone(0.150, (760.0, 1300.0, 2550.0), 0.235, 1.00),
    "e": Phone(0.130, (500.0, 1850.0, 2550.0), 0.140, 1.07),
    "i": Phone(0.115, (290.0, 2300.0, 3000.0), 0.075, 1.14),
    "o": Phone(0.145, (480.0, 880.0, 2400.0), 0.150, 0.82),
    "u": Phone(0.120, (310.0, 700.0, 2250.0), 0.070, 0.72),
}
CONSONANTS: dict[str, Phone] = {
    "p": Phone(0.095, (300.0, 900.0, 2300.0), 0.0, 0.98, voicing=0.0, closed=True),
    "b": Phone(0.085, (250.0, 900.0, 2300.0), 0.0, 0.98, voicing=0.16, closed=True),
    "m": Phone(0.090, (260.0, 1050.0, 2250.0), 0.0, 1.00, voicing=0.42, closed=True),
    "f": Phone(0.100, (320.0, 1200.0, 2400.0), 0.020, 1.03, voicing=0.0, noise=0.35, noise_hz=3200.0),
    "s": Phone(0.105, (320.0, 1700.0, 2600.0), 0.040, 1.07, voicing=0.0, noise=0.9, noise_hz=6000.0),
    "sh": Phone(0.110, (320.0, 1700.0, 2500.0), 0.060, 0.84, voicing=0.0, noise=0.8, noise_hz=2900.0),
    "t": Phone(0.075, (350.0, 1750.0, 2600.0), 0.060, 1.02, voicing=0.0, noise=0.25, noise_hz=4500.0),
    "k": Phone(0.080, (350.0, 1900.0, 2400.0), 0.080, 1.00, voicing=0.0, noise=0.25, noise_hz=2200.0),
    "d": Phone(0.065, (300.0, 1750.0, 2600.0), 0.065, 1.02, voicing=0.25),
    "n": Phone(0.075, (270.0, 1600.0, 2500.0), 0.065, 1.02, voicing=0.45),
    "l": Phone(0.075, (360.0, 1250.0, 2700.0), 0.095, 1.02, voicing=0.6),
    "r": Phone(0.075, (420.0, 1250.0, 1700.0), 0.080, 0.92, voicing=0.6),
}
_PAUSE = Phone(0.3, (480.0, 1450.0, 2500.0), 0.0, 1.0, voicing=0.0)
_APERTURE_SIGMA_S, _WIDTH_SIGMA_S, _FORMANT_SIGMA_S, _LOUDNESS_SIGMA_S = 0.034, 0.045, 0.020, 0.009


def synthesize(
    seconds: float, seed: int = 0, voice: str = "alto", fps: float = FRAME_RATE_HZ, sample_rate: int = SAMPLE_RATE_HZ
) -> tuple[Float[np.ndarray, " samples"], MouthTrack]:
    """Speak for a while.

    Args:
        seconds: Length of sound and track.
        seed: Sentences; other seeds say other things.
        voice: A key of `ns_talking.demo.voice.VOICES`.
        fps: Rate of the mouth's track.
        sample_rate: Rate of the sound in Hz.

    Returns:
        Mono samples in [-1, 1], and the movement of the mouth.

    Raises:
        ValueError: When the length is not positive or the voice is unknown.
    """
    if seconds <= 0:
        raise ValueError(f"Speech of {seconds:g} s was asked for; give a positive length.")
    speaker = voice_named(voice)
    generator = np.random.default_rng([seed, 20_251])
    num_controls = int(np.ceil(seconds * CONTROL_RATE_HZ)) + 1
    controls, aperture, width = _articulate(generator, num_controls, speaker.pitch_hz)
    samples = sound(controls, speaker, int(round(seconds * sample_rate)), sample_rate, generator)
    at = np.arange(int(round(seconds * fps))) / fps * CONTROL_RATE_HZ
    steps = np.arange(num_controls)
    track = MouthTrack(
        fps=fps,
        aperture=np.interp(at, steps, aperture).astype(np.float32),
        width=np.interp(at, steps, width).astype(np.float32),
        loudness=np.interp(at, steps, gaussian_filter1d(controls.voicing, 0.04 * CONTROL_RATE_HZ)).astype(np.float32),
    )
    return samples, track


def _utterance(generator: np.random.Generator) -> list[tuple[Phone, float, float, float]]:
    """Make up one sentence: phones with duration in seconds, stress, and pitch relative to the voice's."""
    phones: list[tuple[Phone, float, float, float]] = []
    words = int(generator.integers(3, 7))
    pace = float(generator.uniform(0.9, 1.2))
    tune = float(generator.uniform(0.94, 1.1))
    for word in range(words):
        syllables = int(generator.integers(1, 4))
        stressed = int(generator.integers(syllables))
        fall = 1.12 - 0.24 * word / max(words - 1, 1)
        for syllable in range(syllables):
            stress = float(generator.uniform(0.95, 1.2) if syllable == stressed else generator.uniform(0.65, 0.9))
            pitch = tune * fall * (1.0 + 0.10 * (stress - 0.9))
            consonant = CONSONANTS[str(generator.choice(list(CONSONANTS)))]
            vowel = VOWELS[str(generator.choice(list(VOWELS)))]
            length = pace * float(generator.uniform(0.85, 1.15)) * (1.0 + 0.25 * (stress - 0.9))
            phones.append((consonant, consonant.duration_s * pace, stress, pitch))
            phones.append((vowel, vowel.duration_s * length, stress, pitch))
            if generator.uniform() < 0.12:
                coda = CONSONANTS[str(generator.choice(["m", "n", "s", "l"]))]
                phones.append((coda, coda.duration_s * pace, stress, pitch))
    phones.append((_PAUSE, float(generator.uniform(0.25, 0.6)), 1.0, tune * 0.9))
    return phones


def _articulate(
    generator: np.random.Generator, num_controls: int, pitch_hz: float
) -> tuple[Controls, np.ndarray, np.ndarray]:
    """Lay phones along time and let neighbouring ones blend."""
    # Per control step: f1, f2, f3, aperture, width, voicing, noise, noise centre, relative pitch.
    targets = np.zeros((num_controls, 9))
    open_lips = np.ones(num_controls)
    closures: list[tuple[float, float]] = []
    phones = [(_PAUSE, float(generator.uniform(0.2, 0.35)), 1.0, 1.0)]
    time = 0.0
    while time * CONTROL_RATE_HZ < num_controls:
        if not phones:
            phones = _utterance(generator)
        phone, duration, stress, pitch = phones.pop(0)
        span = slice(int(round(time * CONTROL_RATE_HZ)), int(round((time + duration) * CONTROL_RATE_HZ)))
        width = 1.0 + (phone.width - 1.0) * min(stress, 1.1)
        noise_hz = phone.noise_hz
        targets[span] = (*phone.formants_hz, phone.aperture * stress, width, phone.voicing * stress, 0, noise_hz, pitch)
        # The friction of a stop is its release, at the end.
        release = 0.0 if duration > 0.09 else 0.6 * duration
        targets[int(round((time + release) * CONTROL_RATE_HZ)) : span.stop, 6] = phone.noise * stress
        if phone.closed:
            closures.append((time + 0.5 * duration, duration))
        time += duration

    def smooth(column: int, sigma_s: float) -> np.ndarray:
        return gaussian_filter1d(targets[:, column], sigma_s * CONTROL_RATE_HZ, mode="nearest")

    instants = np.arange(num_controls) / CONTROL_RATE_HZ
    for centre, duration in closures:
        # Lips touch for most of the closure and part within 50 ms around it.
        distance = np.clip((np.abs(instants - centre) - 0.36 * duration) / 0.050, 0.0, 1.0)
        open_lips = np.minimum(open_lips, distance * distance * (3.0 - 2.0 * distance))
    wobble = gaussian_filter1d(generator.normal(size=num_controls), 0.03 * CONTROL_RATE_HZ) * 0.10
    controls = Controls(
        pitch_hz=pitch_hz * smooth(8, 0.06) * (1.0 + wobble),
        voicing=np.clip(smooth(5, _LOUDNESS_SIGMA_S), 0.0, None),
        formants_hz=np.stack([smooth(column, _FORMANT_SIGMA_S) for column in range(3)], axis=1),
        noise=np.clip(smooth(6, 0.006), 0.0, None),
        noise_hz=smooth(7, 0.02),
    )
    aperture = np.clip(gaussian_filter1d(smooth(3, _APERTURE_SIGMA_S) * open_lips, 0.008 * CONTROL_RATE_HZ), 0.0, None)
    return controls, aperture, smooth(4, _WIDTH_SIGMA_S)
