"""The process that decodes an upload: `python -m ns_talking.viewer.decode SOURCE TARGET`, a wav at 48 kHz, mono."""

from __future__ import annotations

import sys
from pathlib import Path

_MAX_MEMORY = 3 << 30
_MAX_CPU_S = 100
_MAX_FILE = 1 << 30


def main() -> None:
    """Decode, and end with 1 and a sentence on standard error where that cannot be done."""
    _limit()
    from ns_talking.audio.io import read_audio, write_wav
    from ns_talking.viewer.sounds import MAX_SECONDS

    source, target = map(Path, sys.argv[1:])
    try:
        samples = read_audio(source, 48_000, duration_s=MAX_SECONDS)
        if not len(samples):
            raise ValueError(f"{source} holds no sound.")
        write_wav(target, samples, 48_000)
    except (ValueError, OSError, MemoryError) as error:
        sys.stderr.write(" ".join(str(error).split()) + "\n")
        sys.exit(1)


def _limit() -> None:
    """Bound memory, time and file size where the system can; Windows cannot."""
    try:
        import resource
    except ImportError:
        return
    for kind, most in (
        (resource.RLIMIT_AS, _MAX_MEMORY),
        (resource.RLIMIT_CPU, _MAX_CPU_S),
        (resource.RLIMIT_FSIZE, _MAX_FILE),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))


if __name__ == "__main__":
    main()
