"""How many compiled kernels PyTorch's oneDNN keeps.

It makes one for every shape that it meets, and keeps 1,024 of them, in two caches. Frames of a talking head have each
another number of samples: kernels that nobody asks for again took 0.1 to 0.5 MiB each.
"""

from __future__ import annotations

import os

_CAPACITY = 128
"""More than the shapes of one frame, and few enough to be reached within seconds."""


def keep_few_kernels() -> None:
    """Keep fewer kernels, unless the environment says how many. It is read when the first kernel is made."""
    for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(name, str(_CAPACITY))
