"""A portable portrait: one file that renders anywhere without the folder of its training, and executes nothing.

```text
*.portrait            safetensors: a JSON header, then the plain bytes of tensors; nothing in it is compressed
  weights.NAME        the trained state of the pipeline
  head_poses          float64 [frames, 4, 4]   blink        float32 [frames]
  frames              int64 [usable]           held_out     bool [usable]: which of them are the test part
  eyes                float32 [frames, points, 3]: the landmarks around both eyes; zero without a face
  has_face            bool [frames]
  audio_frames        int64 [frames], where the dataset has them
  features            float32, the first rows of the clip's table: their shape and kind, not the clip's speech
  background          uint8 [height, width, 3] thumbnail    uint8 [height, width, 3], RGB
header, `portrait`    JSON: method, settings of the model by class and field, facts of the clip, consent, hashes
```

Settings name classes of ns-talking alone, and what a class builds stands in the class, never in the file. Before any
memory is taken for a model, its shapes are compared with the tensors that are really there.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from ns_talking.data.landmarks import scheme

FORMAT = "ns-talking portrait"
VERSION = 1
HEADER = "portrait"
"""Key of the JSON in the header."""
WEIGHTS = "weights."
"""What the names of the trained state begin with."""
TRACKS = {
    "head_poses": ("float64", 3),
    "blink": ("float32", 1),
    "frames": ("int64", 1),
    "held_out": ("bool", 1),
    "eyes": ("float32", 3),
    "has_face": ("bool", 1),
    "background": ("uint8", 3),
    "thumbnail": ("uint8", 3),
}
"""Type and number of axes of every tensor that a file must have."""
OPTIONAL_TRACKS = {"audio_frames": ("int64", 1)}
FEATURES = "features"
NUM_FEATURE_ROWS = 64
LARGEST_BYTES = 4 << 30
LARGEST_HEADER_BYTES = 8 << 20
LARGEST_SIDE_PX = 16_384
"""Of frames and background."""


def eye_points(landmark_scheme: str) -> Int[np.ndarray, " points"]:
    """List the landmarks around both eyes, which some methods measure.

    Raises:
        ValueError: When there is no such scheme.
    """
    layout = scheme(landmark_scheme)
    return np.concatenate([layout.right_eye, layout.left_eye])
