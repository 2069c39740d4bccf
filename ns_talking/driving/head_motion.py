"""Head motion of one portrait carried over to another."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ns_talking.driving.track import nearest_to_mean


def around_mean(
    head_poses: Float[np.ndarray, "frames 4 4"], own: Float[np.ndarray, "clip 4 4"]
) -> Float[np.ndarray, "frames 4 4"]:
    """Let a head move as another one does, around where it is itself seen most.

    Two clips are filmed from different sides and distances, and a portrait is only known from its own. So the other
    clip lends how its head leaves its usual pose, and not that pose: what is seen at rest is the own clip's middle.

    Args:
        head_poses: Cameras of the other clip, camera-to-world, OpenGL axes.
        own: Cameras of the portrait's clip.
    """
    usual, middle = head_poses[nearest_to_mean(head_poses)], own[nearest_to_mean(own)]
    # In camera space: the head moves as far, in 25 cm, and the same way as seen in the picture.
    head_to_camera, usual_to_camera = np.linalg.inv(head_poses), np.linalg.inv(usual)
    turned = head_to_camera[:, :3, :3] @ usual_to_camera[:3, :3].T
    moved = head_to_camera[:, :3, 3] - usual_to_camera[:3, 3]
    middle_to_camera = np.linalg.inv(middle)
    result = np.tile(np.eye(4), (len(head_poses), 1, 1))
    result[:, :3, :3] = turned @ middle_to_camera[:3, :3]
    result[:, :3, 3] = middle_to_camera[:3, 3] + moved
    return np.linalg.inv(result).astype(own.dtype)
