"""Faces that wait on disk come back as they were found."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ns_talking.process.found_faces import NUM_BLENDSHAPES, FoundFaces
from ns_talking.process.landmark_detectors import Face


def face(seed: int, has_blendshapes: bool = True) -> Face:
    chance = np.random.default_rng(seed)
    shapes = chance.random(NUM_BLENDSHAPES).astype(np.float32) if has_blendshapes else None
    return Face(chance.uniform(0, 100, (68, 3)).astype(np.float32), shapes)


def test_the_chosen_face_of_every_frame_is_given_back(tmp_path: Path) -> None:
    frames = [[face(0), face(1)], [], [face(2, has_blendshapes=False)], [face(3), face(4), face(5)]]
    with FoundFaces(tmp_path, 68) as found:
        for faces in frames:
            found.add(faces)
        landmarks, blendshapes = found.of_person([1, None, 0, 2])
    for index, which in enumerate((1, None, 0, 2)):
        if which is None:
            assert np.isnan(landmarks[index]).all() and np.isnan(blendshapes[index]).all()
            continue
        np.testing.assert_array_equal(landmarks[index], frames[index][which].points)
        if index != 2:
            np.testing.assert_array_equal(blendshapes[index], frames[index][which].blendshapes)
    assert np.isnan(blendshapes[2]).all()
    assert [len(faces) for faces in found.frames] == [2, 0, 1, 3]
    np.testing.assert_allclose(found.frames[3][1].centre, face(4).points[:, :2].mean(axis=0))
