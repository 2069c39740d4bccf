"""The process that decodes an upload: `python -m ns_talking.viewer.decode SOURCE TARGET`, a wav at 48 kHz, mono."""

from __future__ import annotations

import sys
from pathlib import Path

from ns_talking.utils.limits import limit_resources


def main() -> None:
    """Decode, and end with 1 and a sentence on standard error where that cannot be done."""
    limit_resources()
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


if __name__ == "__main__":
    main()
