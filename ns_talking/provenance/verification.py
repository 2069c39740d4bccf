"""Reading marks: whether a video says that it is synthetic, who signed that, and whether it was changed since."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import av

from ns_talking.provenance.c2pa_library import c2pa_library, offline_context
from ns_talking.provenance.look import look_for_watermark
from ns_talking.provenance.marking import COMPOSITE, SYNTHETIC
from ns_talking.utils.media import open_media
from ns_talking.utils.video import MADE_BY

Status = Literal["marked", "altered", "metadata", "watermark", "unmarked"]
_HARMLESS = {"signingCredential.untrusted"}
"""Failures that say nothing about the file: nobody vouches for who signed it."""


@dataclass(frozen=True)
class Finding:
    """What a video says about itself."""

    status: Status
    """`marked`: a manifest calls it synthetic, and the file is as it was signed. `altered`: there is a manifest, but
    the file or the manifest was changed or cut. `metadata`: the plain comment calls it synthetic, with the watermark
    or without. `watermark`: the watermark in the pictures alone does. `unmarked`: nothing calls it synthetic, which
    does not mean that it is real."""
    trusted: bool = False
    """Whether the signer's certificate is on a trust list of the library."""
    signer: str = ""
    """Name in the signer's certificate; anybody can write any name into one that is not trusted."""
    signed_at: str = ""
    """Time that a timestamp authority states; empty without one."""
    source_types: tuple[str, ...] = ()
    """Digital source types of all manifests, as IPTC addresses."""
    manifest: Mapping[str, Any] = field(default_factory=dict)
    """The active manifest."""
    problems: tuple[str, ...] = ()
    """What does not match, in the library's words."""
    comment: str = ""
    """The plain comment in the metadata."""
    watermark: str = ""
    """Payload of the watermark in the pictures, 8 hexadecimal digits; empty where none was found or looked for."""
    watermark_score: float = 0.0
    """Its correlation in standard deviations of noise."""


def examine(path: Path) -> Finding:
    """Read the marks of an mp4 or mov, offline.

    Raises:
        FileNotFoundError: When there is no such file.
        ValueError: When it is neither, or holds neither video nor a manifest that can be read.
        ImportError: When the C2PA library is missing.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path} to verify. Check the path.")
    with path.open("rb") as file:
        head = file.read(12)
    if head[4:8] != b"ftyp":
        found = "an empty file" if not head else f"the bytes {head[:8].hex(' ')}"
        raise ValueError(f"{path} is neither mp4 nor mov: it begins with {found}. Only those are signed and verified.")
    comment = _comment(path)
    c2pa = c2pa_library()
    try:
        # The type is stated, not guessed from the name, which proves nothing.
        with path.open("rb") as file, c2pa.Reader("video/mp4", file, context=offline_context(c2pa)) as reader:
            store = json.loads(reader.json())
    except c2pa.C2paError.ManifestNotFound:
        if comment is None:
            raise ValueError(
                f"{path} cannot be read as a video and holds no manifest: it is damaged or cut. Get it again."
            ) from None
        return Finding("metadata" if MADE_BY in comment else "unmarked", comment=comment)
    except c2pa.C2paError as error:
        if str(error).startswith("Remote:"):
            problem = f"Its manifest is not in the file and was not fetched ({error})."
            return Finding("metadata" if MADE_BY in (comment or "") else "unmarked", problems=(problem,))
        return Finding("altered", problems=(str(error),), comment=comment or "")
    return _judged(store, comment or "")


def with_watermark(finding: Finding, path: Path) -> Finding:
    """Look for the watermark in the pictures as well; seconds.

    A video whose pictures cannot be decoded keeps what was found, with the reason among its problems.
    """
    try:
        seen = look_for_watermark(path)
    except ValueError as error:
        return replace(finding, problems=(*finding.problems, f"The watermark could not be looked for: {error}"))
    if seen is None:
        return finding
    status: Status = "watermark" if finding.status == "unmarked" else finding.status
    return replace(finding, status=status, watermark=f"{int(seen['payload']):08x}", watermark_score=seen["score"])


def _judged(store: Mapping[str, Any], comment: str) -> Finding:
    manifests = store.get("manifests", {})
    active = manifests.get(store.get("active_manifest"), {})
    failures = {entry["code"]: entry for entry in store.get("validation_status", [])}
    problems = tuple(
        f"{code}: {entry.get('explanation', '')}" for code, entry in failures.items() if code not in _HARMLESS
    )
    types = tuple(dict.fromkeys(found for manifest in manifests.values() for found in _source_types(manifest)))
    signature = active.get("signature_info", {})
    if problems or store.get("validation_state") not in ("Valid", "Trusted"):
        status: Status = "altered"
    elif SYNTHETIC in types or COMPOSITE in types:
        status = "marked"
    else:
        status = "metadata" if MADE_BY in comment else "unmarked"
    return Finding(
        status,
        trusted=store.get("validation_state") == "Trusted",
        signer=", ".join(filter(None, (signature.get("common_name"), signature.get("issuer")))),
        signed_at=signature.get("time") or "",
        source_types=types,
        manifest=active,
        problems=problems,
        comment=comment,
    )


def _source_types(manifest: Mapping[str, Any]) -> Iterator[str]:
    for assertion in manifest.get("assertions", []):
        if str(assertion.get("label", "")).startswith("c2pa.actions"):
            for action in assertion.get("data", {}).get("actions", []):
                if source := action.get("digitalSourceType"):
                    yield str(source)


def _comment(path: Path) -> str | None:
    """Read the plain comment; None where the file cannot be opened as a video."""
    try:
        with open_media(path) as container:
            return container.metadata.get("comment", "") if container.streams.video else None
    except (ValueError, av.FFmpegError):
        return None
