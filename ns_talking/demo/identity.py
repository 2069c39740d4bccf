"""Who the procedural head is: colours, proportions, hair and voice, by name or by seed."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Identity:
    """One procedural person. Colours are linear RGB in [0, 1]; proportions are factors around 1."""

    name: str
    skin: Colour = (0.66, 0.42, 0.31)
    lips: Colour = (0.50, 0.155, 0.15)
    hair: Colour = (0.060, 0.034, 0.020)
    iris: Colour = (0.10, 0.20, 0.28)
    shirt: Colour = (0.09, 0.15, 0.30)
    wall: Colour = (0.42, 0.47, 0.50)
    face_width: float = 1.0
    """Width of the skull and the cheeks."""
    jaw_width: float = 1.0
    """Width of the lower face relative to the skull."""
    face_length: float = 1.0
    """Distance from the eyes down to the chin."""
    nose_length: float = 1.0
    nose_width: float = 1.0
    lip_thickness: float = 1.0
    mouth_width: float = 1.0
    eye_opening: float = 1.0
    brow_thickness: float = 1.0
    hair_volume: float = 1.0
    hairline: float = 0.0
    """How much higher the hair starts on the forehead, in world units."""
    hair_length: float = 0.0
    """0 for short hair, 1 for hair down to the shoulders."""
    beard: float = 0.0
    """0 for a shaven chin, 1 for a full short beard."""
    voice: str = "alto"
    """Voice of the identity, a key of `ns_talking.demo.voice.VOICES`."""


IDENTITIES: dict[str, Identity] = {
    "ada": Identity("ada"),
    "bruno": Identity(
        "bruno",
        skin=(0.53, 0.32, 0.22),
        lips=(0.42, 0.19, 0.16),
        hair=(0.018, 0.013, 0.011),
        iris=(0.11, 0.06, 0.03),
        shirt=(0.34, 0.33, 0.30),
        wall=(0.30, 0.36, 0.33),
        face_width=1.05,
        jaw_width=1.08,
        nose_width=1.15,
        lip_thickness=0.9,
        brow_thickness=1.35,
        hair_volume=0.75,
        hairline=0.03,
        beard=0.75,
        voice="bass",
    ),
    "chidi": Identity(
        "chidi",
        skin=(0.20, 0.105, 0.066),
        lips=(0.25, 0.10, 0.09),
        hair=(0.012, 0.010, 0.009),
        iris=(0.05, 0.028, 0.016),
        shirt=(0.50, 0.30, 0.06),
        wall=(0.50, 0.46, 0.40),
        nose_width=1.25,
        lip_thickness=1.3,
        hair_volume=0.55,
        hairline=0.01,
        voice="tenor",
    ),
    "dora": Identity(
        "dora",
        skin=(0.74, 0.50, 0.39),
        lips=(0.62, 0.17, 0.19),
        hair=(0.24, 0.085, 0.025),
        iris=(0.09, 0.24, 0.12),
        shirt=(0.30, 0.06, 0.09),
        wall=(0.52, 0.50, 0.55),
        face_width=0.95,
        jaw_width=0.94,
        nose_length=0.93,
        nose_width=0.9,
        eye_opening=1.15,
        brow_thickness=0.8,
        hair_volume=1.1,
        hair_length=1.0,
        voice="soprano",
    ),
    "emil": Identity(
        "emil",
        skin=(0.68, 0.45, 0.35),
        lips=(0.50, 0.24, 0.22),
        hair=(0.40, 0.38, 0.36),
        iris=(0.16, 0.25, 0.33),
        shirt=(0.05, 0.055, 0.06),
        wall=(0.26, 0.31, 0.42),
        face_length=1.06,
        nose_length=1.1,
        lip_thickness=0.8,
        hair_volume=0.7,
        hairline=0.06,
        voice="baritone",
    ),
}


def identity(who: str | int) -> Identity:
    """Return a named identity, or one drawn at random from a seed or from any other name.

    Args:
        who: A name of `IDENTITIES`, another name, or an integer seed. The same value gives the same person always.
    """
    if isinstance(who, str) and who in IDENTITIES:
        return IDENTITIES[who]
    seed = who if isinstance(who, int) else zlib.crc32(who.encode())
    return _random_identity(str(who), np.random.default_rng(seed))


def _random_identity(name: str, generator: np.random.Generator) -> Identity:
    """Draw colours and proportions around those of the named identities."""

    def factor(spread: float) -> float:
        return float(np.clip(1.0 + spread * generator.normal(), 1.0 - 2 * spread, 1.0 + 2 * spread))

    def mix(first: Colour, second: Colour, share: float) -> Colour:
        mixed = np.asarray(first) * (1.0 - share) + np.asarray(second) * share
        return (float(mixed[0]), float(mixed[1]), float(mixed[2]))

    tone = float(generator.uniform())
    hairs: list[Colour] = [(0.015, 0.011, 0.010), (0.07, 0.035, 0.018), (0.24, 0.085, 0.025), (0.42, 0.28, 0.12)]
    return Identity(
        name,
        skin=mix((0.18, 0.095, 0.06), (0.74, 0.50, 0.40), tone),
        lips=mix((0.24, 0.10, 0.09), (0.60, 0.21, 0.20), tone),
        hair=hairs[int(generator.integers(len(hairs)))],
        iris=mix((0.06, 0.03, 0.015), (0.14, 0.24, 0.30), float(generator.uniform())),
        shirt=mix((0.04, 0.05, 0.06), tuple(generator.uniform(0.05, 0.6, size=3)), 0.8),
        wall=mix((0.4, 0.42, 0.44), tuple(generator.uniform(0.2, 0.6, size=3)), 0.6),
        face_width=factor(0.03),
        jaw_width=factor(0.05),
        face_length=factor(0.03),
        nose_length=factor(0.06),
        nose_width=factor(0.1),
        lip_thickness=factor(0.15),
        mouth_width=factor(0.04),
        eye_opening=factor(0.08),
        brow_thickness=factor(0.2),
        hair_volume=factor(0.2),
        hairline=float(generator.uniform(0.0, 0.05)),
        hair_length=float(generator.uniform() < 0.35),
        beard=float(generator.uniform(0.4, 0.9)) if generator.uniform() < 0.25 else 0.0,
        voice=str(generator.choice(["bass", "baritone", "tenor", "alto", "soprano"])),
    )
