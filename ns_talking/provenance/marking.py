"""The mark of a synthetic video: a signed C2PA manifest that says what made it, a plain comment, and a watermark.

Source:
    C2PA Technical Specification 2.x (actions, digital source types, BMFF hash); the types are IPTC's. The assertion
    that names method and hashes is our own design: C2PA leaves labels outside of its name space to whoever signs.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from ns_talking.provenance.c2pa_library import c2pa_library, offline_context
from ns_talking.provenance.certificate import Credential, credential
from ns_talking.provenance.watermark import imprint, payload_of
from ns_talking.utils.files import atomic_path
from ns_talking.utils.progress import CONSOLE
from ns_talking.utils.video import MADE_BY

SYNTHETIC = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""IPTC's type of a picture that a trained model made as a whole."""
COMPOSITE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""IPTC's type of a picture that is filmed in parts, and made by a trained model in others."""
_SIGNED = {".mp4": "video/mp4", ".mov": "video/quicktime"}
ORIGIN = "org.ns-talking.origin"
"""Label of the assertion that names method, hashes and subject."""


@dataclass(frozen=True)
class Origin:
    """What a synthetic video was made with and from."""

    method: str
    """Name of the portrait's method."""
    composite: bool = False
    """Whether parts of the picture are filmed frames of the person."""
    hashes: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 by what was hashed: `training_clip`, `audio`, `checkpoint`, `weights`. And `tracked_clip`, a digest of
    our own of the clip's head poses, size and lens."""
    subject: Mapping[str, str] = field(default_factory=dict)
    """Content of the dataset's subject.json; empty where there is none."""

    @property
    def source_type(self) -> str:
        """IPTC's digital source type."""
        return COMPOSITE if self.composite else SYNTHETIC


@dataclass(frozen=True)
class Mark:
    """Marks videos of one origin; `VideoWriter` takes it."""

    origin: Origin
    signer: Credential | None
    """None where this platform cannot sign; then comment and watermark are all there is."""
    watermark: bool = True
    """Whether the pictures carry the watermark; not those that are measured."""

    @property
    def payload(self) -> int:
        """The 32 bits of the watermark: they tell the portrait, by its weights, and stand in the manifest."""
        made = self.origin
        return payload_of(made.hashes.get("weights") or json.dumps([made.method, dict(made.hashes)], sort_keys=True))

    def imprint(self, frame: UInt8[np.ndarray, "height width channels"]) -> UInt8[np.ndarray, "height width channels"]:
        """Put the watermark into a frame, if it is wanted."""
        return imprint(frame, self.payload) if self.watermark else frame

    @property
    def comment(self) -> str:
        """What the mp4's plain metadata say; it survives where manifests are not understood."""
        return f"{MADE_BY} {version()} ({self.origin.method}); digitalSourceType: {self.origin.source_type}"

    def apply(self, path: Path, title: str) -> None:
        """Sign a finished mp4 or mov in its place, at constant memory, under the name that it will have.

        A signature that fails is reported and leaves the video with its plain metadata: hours of rendering are not
        thrown away for it.
        """
        if self.signer is None:
            return
        media = _SIGNED.get(Path(title).suffix.lower())
        if media is None:
            _warn(f"{title} carries its plain metadata alone: of our formats, C2PA signs {' and '.join(_SIGNED)}.")
            return
        c2pa = c2pa_library()
        try:
            with atomic_path(path) as signed:
                content = manifest(self.origin, title, media, self.payload if self.watermark else None)
                _sign(c2pa, self.signer, content, path, signed)
        except c2pa.C2paError as error:
            _warn(f"The video could not be signed ({error}); its plain metadata alone say that it is synthetic.")


def make_mark(origin: Origin, certificate: Path | None = None, private_key: Path | None = None) -> Mark:
    """Prepare to mark videos, and tell the user what the mark is worth.

    Args:
        origin: What the videos are made with and from.
        certificate: PEM file with the user's certificate chain; None takes what the environment names, else a local
            certificate.
        private_key: PEM file with its private key.

    Raises:
        FileNotFoundError: When a file to sign with is missing.
        ValueError: When the certificate or the key cannot be used.
    """
    try:
        c2pa = c2pa_library()
        signer = credential(certificate, private_key)
    except ImportError as error:
        _warn(f"{error} Until then videos are marked by their plain metadata alone, which are easily lost.")
        return Mark(origin, None)
    try:
        _c2pa_signer(c2pa, signer).close()
    except c2pa.C2paError as error:
        raise ValueError(
            f"The certificate cannot sign for C2PA ({error}). It needs the usage digitalSignature, a purpose such as "
            "emailProtection or documentSigning, and an issuer other than itself."
        ) from error
    if signer.local:
        CONSOLE.print(
            "Videos are signed as AI-generated with a certificate made on this machine: readers call it untrusted. "
            "--certificate and --private-key, or NS_TALKING_CERTIFICATE and NS_TALKING_PRIVATE_KEY, name yours.",
            soft_wrap=True,
        )
    return Mark(origin, signer)


def manifest(origin: Origin, title: str, media: str = "video/mp4", watermark: int | None = None) -> dict[str, Any]:
    """Say in C2PA's words what made a video.

    Args:
        origin: What it was made with and from.
        title: Name of the file.
        media: Its media type.
        watermark: Payload of the watermark in its pictures, if there is one.
    """
    agent = {"name": "ns-talking", "version": version()}
    created = {"action": "c2pa.created", "digitalSourceType": origin.source_type, "softwareAgent": agent}
    hashes = dict(origin.hashes)
    # No SHA-256 of a file that somebody could compare.
    tracked = hashes.pop("tracked_clip", None)
    details: dict[str, Any] = {"generator": agent, "method": origin.method, "sha256": hashes}
    if tracked is not None:
        details["tracked_clip"] = tracked
    if watermark is not None:
        details["watermark"] = f"{watermark:08x}"
    if origin.subject:
        details["subject"] = dict(origin.subject)
    return {
        "claim_generator_info": [agent],
        "title": title,
        "format": media,
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": [created]}},
            {"label": ORIGIN, "data": details},
        ],
    }


def _sign(c2pa: Any, signer: Credential, content: dict[str, Any], source: Path, target: Path) -> None:
    # Any: the library, which is imported when it is needed.
    with (
        _c2pa_signer(c2pa, signer) as native,
        c2pa.Builder(content, offline_context(c2pa)) as builder,
        source.open("rb") as unsigned,
        target.open("w+b") as signed,
    ):
        builder.sign(native, content["format"], unsigned, signed)


def _c2pa_signer(c2pa: Any, signer: Credential) -> Any:
    info = c2pa.C2paSignerInfo(signer.algorithm, signer.chain, signer.key, signer.timestamp_authority)
    return c2pa.Signer.from_info(info)


def version() -> str:
    """Give the version of the package."""
    return importlib.metadata.version("ns-talking")


def _warn(message: str) -> None:
    CONSOLE.print(message, style="yellow", markup=False, soft_wrap=True)
