import numpy as np
import pytest

from ns_talking.data.landmarks import scheme
from ns_talking.metrics.landmark_distance import lip_landmark_distance


@pytest.mark.parametrize("name", ["ibug68", "mediapipe478"])
def test_moving_the_whole_face_counts_unless_lips_are_centred(name: str) -> None:
    layout = scheme(name)
    real = np.random.default_rng(0).normal(size=(4, layout.num_points, 3)) * 50
    rendered = real + [3.0, 4.0, 100.0]
    np.testing.assert_allclose(lip_landmark_distance(rendered, real, layout, centred=False), 5.0)
    np.testing.assert_allclose(lip_landmark_distance(rendered, real, layout), 0.0, atol=1e-9)


def test_a_frame_without_a_face_has_no_distance() -> None:
    real = np.zeros((2, 68, 3))
    real[1] = np.nan
    assert np.isnan(lip_landmark_distance(np.zeros((2, 68, 3)), real, scheme("ibug68"))).tolist() == [False, True]
