"""Sound for the viewer: whatever was uploaded, decoded in a process of its own, and made ready for a browser."""

from __future__ import annotations

import io
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from ns_talking.utils.limits import run_limited

MAX_UPLOAD_MB = 200
"""Files above this size are refused."""
MAX_SECONDS = 1200.0
"""Longer sound is cut off."""
_RATE_HZ = 48_000
_TIMEOUT_S = 120.0
_MP3_BITS_PER_S = 48_000


@dataclass(frozen=True)
class BrowserSound:
    """A sound as a page plays and draws it."""

    path: Path
    mp3: bytes
    peaks: list[float]
    """Loudness over time in [0, 1]."""
    duration_s: float


def safe_name(name: str) -> str:
    """Turn the name of an upload into one for a file here: no folders, no surprises, at most 60 letters."""
    stem = re.sub(r"[^\w.-]+", "_", Path(name.replace("\\", "/")).stem, flags=re.ASCII).strip("._-")
    return (stem or "sound")[:60] + ".wav"


def store_upload(name: str, content: bytes, folder: Path) -> Path:
    """Decode an uploaded file and keep its sound as a wav file.

    The decoder runs in a process with limits on memory, time and size, because the file may come from anyone.

    Args:
        name: What the browser calls the file.
        content: The file.
        folder: Where to keep the wav.

    Returns:
        The wav file, named after the upload.

    Raises:
        ValueError: When the file is too large, or holds no sound that can be decoded.
    """
    size_mb = len(content) / 1e6
    if size_mb > MAX_UPLOAD_MB:
        raise ValueError(f"The file has {size_mb:.0f} MB, at most {MAX_UPLOAD_MB} can be uploaded. Cut or compress it.")
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / safe_name(name)
    with tempfile.NamedTemporaryFile(prefix="upload-", suffix=".bin", dir=folder) as source:
        source.write(content)
        source.flush()
        try:
            run_limited("ns_talking.viewer.decode", source.name, str(target), timeout_s=_TIMEOUT_S)
        except ValueError as error:
            raise ValueError(str(error).replace(source.name, "The file")) from error
    return target


def browser_sound(path: Path) -> BrowserSound:
    """Encode a sound for the browser and measure its waveform.

    Args:
        path: Any file with sound; at most `MAX_SECONDS` of it are taken.
    """
    from ns_talking.audio.io import read_audio

    samples = read_audio(path, _RATE_HZ, duration_s=MAX_SECONDS)
    return BrowserSound(path, _mp3(samples), _peaks(samples), len(samples) / _RATE_HZ)


def _peaks(samples: Float[np.ndarray, " samples"], count: int = 240) -> list[float]:
    parts = np.array_split(np.abs(samples), min(count, max(1, len(samples))))
    peaks = np.array([float(part.max()) if len(part) else 0.0 for part in parts])
    return (peaks / max(float(peaks.max()), 1e-3)).tolist()


def _mp3(samples: Float[np.ndarray, " samples"]) -> bytes:
    """Encode mono samples; players skip the encoder's delay, which the file states."""
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp3") as container:
        stream = container.add_stream("libmp3lame", rate=_RATE_HZ, layout="mono")
        stream.bit_rate = _MP3_BITS_PER_S
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(np.clip(samples, -1, 1)[None]), "fltp", "mono")
        frame.sample_rate, frame.pts = _RATE_HZ, 0
        fifo = av.AudioFifo()
        fifo.write(frame)
        for part in fifo.read_many(stream.codec_context.frame_size or 1152, partial=True):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return buffer.getvalue()
