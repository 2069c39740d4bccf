import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ns_talking.data.landmarks import aperture, scheme
from ns_talking.data.lip_shape import inner_lips_mask, lip_aperture, lip_shapes


def face(name: str, num_frames: int, depth: bool) -> np.ndarray:
    """A still random face whose lower inner lip opens and closes."""
    layout = scheme(name)
    generator = np.random.default_rng(0)
    points = generator.normal(size=(layout.num_points, 3)) * [60.0, 60.0, 30.0 if depth else 0.0]
    frames = np.repeat(points[None], num_frames, axis=0)
    frames[:, layout.inner_lip_pairs[:, 1], 1] += 20 * np.sin(np.arange(num_frames))[:, None]
    return frames


@pytest.mark.parametrize("name", ["ibug68", "mediapipe478"])
def test_turning_moving_and_zooming_the_head_leaves_the_lip_shape(name: str) -> None:
    layout = scheme(name)
    still = face(name, 40, depth=True)
    generator = np.random.default_rng(1)
    turns = Rotation.from_rotvec(generator.normal(size=(40, 3)) * 0.15).as_matrix()
    moved = (1 + 0.1 * generator.random((40, 1, 1))) * still @ turns + generator.normal(size=(40, 1, 3)) * 20
    shapes = lip_shapes(moved, layout)
    opening, expected = lip_aperture(shapes, layout), lip_aperture(lip_shapes(still, layout), layout)
    assert np.corrcoef(opening, expected)[0, 1] > 0.999
    rigid = shapes[:, 0] - shapes[:, 1]
    np.testing.assert_allclose(rigid, rigid[:1].repeat(40, axis=0), atol=1e-4)


def test_landmarks_without_depth_are_aligned_in_the_image() -> None:
    layout = scheme("ibug68")
    still = face("ibug68", 30, depth=False)
    angle = np.linspace(-0.3, 0.3, 30)
    turns = Rotation.from_rotvec(angle[:, None] * [0.0, 0.0, 1.0]).as_matrix()
    shapes = lip_shapes((still @ turns)[..., :2], layout)
    rigid = shapes[:, 0] - shapes[:, 1]
    np.testing.assert_allclose(rigid, rigid[:1].repeat(30, axis=0), atol=1e-4)


def test_the_aperture_of_a_shape_is_that_of_a_frontal_face() -> None:
    layout = scheme("mediapipe478")
    still = face("mediapipe478", 20, depth=False)
    found, expected = lip_aperture(lip_shapes(still, layout), layout), aperture(still, layout)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_frame_without_a_face_has_no_shape_and_disturbs_no_other() -> None:
    layout = scheme("mediapipe478")
    landmarks = face("mediapipe478", 20, depth=True)
    landmarks[3] = np.nan
    shapes = lip_shapes(landmarks, layout)
    assert np.isnan(shapes[3]).all()
    assert np.isfinite(np.delete(shapes, 3, axis=0)).all()


def test_a_clip_without_any_face_is_refused() -> None:
    with pytest.raises(ValueError, match="no face at all"):
        lip_shapes(np.full((5, 68, 3), np.nan), scheme("ibug68"))


def test_inner_lips_come_after_outer_ones() -> None:
    mask = inner_lips_mask(scheme("ibug68"))
    assert mask.tolist() == [False] * 12 + [True] * 8
