from __future__ import annotations

import numpy as np
import pytest

from ns_talking.data import landmarks as measure
from ns_talking.data.face_classes import REGION_OF_CLASS, FaceClass
from ns_talking.data.format import HEAD_REGIONS, OUTER_EYE_DISTANCE, Region
from ns_talking.demo.head import FOCAL_OVER_WIDTH, HeadFrames, HeadRenderer, project, render
from ns_talking.demo.identity import IDENTITIES, identity
from ns_talking.demo.motion import head_pose, head_poses
from ns_talking.demo.rig import Rig, build_rig

SIZE = 64
SCHEME = measure.scheme("ibug68")
APERTURES = np.array([0.0, 0.1, 0.3, 0.0, 0.15])
WIDTHS = np.array([1.0, 1.1, 1.0, 0.75, 1.0])
BLINKS = np.array([0.0, 0.0, 0.0, 1.0, 0.0])
POSES = np.stack([head_pose(), head_pose(6.0, 2.0), head_pose(0.0, -3.0, 3.0), head_pose(), head_pose(-7.0, 3.0)])


@pytest.fixture(scope="module")
def rig() -> Rig:
    return build_rig(identity("ada"))


@pytest.fixture(scope="module")
def clip() -> HeadFrames:
    return render(identity("ada"), APERTURES, WIDTHS, BLINKS, POSES, SIZE)


def region_at(parsing: np.ndarray, point: np.ndarray) -> int:
    return int(parsing[int(np.floor(point[1])), int(np.floor(point[0]))])


def box_of(parsing: np.ndarray, regions: tuple[Region, ...]) -> np.ndarray:
    rows, columns = np.nonzero(np.isin(parsing, regions))
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])


def test_outer_eye_corners_lie_where_the_world_wants_them(rig: Rig) -> None:
    corners = rig.shape()[rig.landmarks[[36, 45]]]
    assert np.linalg.norm(corners[1] - corners[0]) == pytest.approx(OUTER_EYE_DISTANCE, abs=1e-4)
    np.testing.assert_allclose(corners.mean(axis=0), [0.0, -0.35, 0.11675], atol=1e-4)


@pytest.mark.parametrize("name", list(IDENTITIES))
def test_whole_heads_fit_the_box(name: str) -> None:
    rig = build_rig(identity(name))
    for aperture, width in ((0.0, 1.0), (0.4, 0.8)):
        shaped = rig.shape(aperture, width)
        assert (shaped >= [-1.0, -0.8, -1.0]).all()
        assert (shaped <= [1.0, 0.55, 1.0]).all()


@pytest.mark.parametrize("aperture", [0.0, 0.05, 0.2, 0.4])
@pytest.mark.parametrize("width", [0.75, 1.0, 1.15])
def test_aperture_measured_on_the_head_equals_the_one_asked_for(rig: Rig, aperture: float, width: float) -> None:
    points = rig.shape(aperture, width)[rig.landmarks][None][:, :, [0, 2]]
    assert measure.aperture(points, SCHEME)[0] == pytest.approx(aperture, abs=2e-3)


def test_aperture_measured_in_the_image_follows_the_one_asked_for() -> None:
    apertures = np.linspace(0.0, 0.3, 7)
    clip = render(identity("bruno"), apertures, np.ones(7), np.zeros(7), head_poses(7, fps=1.0), SIZE)
    measured = measure.aperture(clip.landmarks, SCHEME)
    assert np.corrcoef(measured, apertures)[0, 1] > 0.999
    np.testing.assert_allclose(measured, apertures, atol=0.02)


def test_width_of_the_mouth_follows_the_one_asked_for(rig: Rig) -> None:
    widths = [np.ptp(rig.shape(0.1, width)[rig.landmarks[[48, 54]], 0]) for width in (0.75, 1.0, 1.15)]
    np.testing.assert_allclose(np.array(widths) / widths[1], [0.75, 1.0, 1.15], atol=0.01)


def test_jaw_opens_in_three_dimensions(rig: Rig) -> None:
    moved = rig.shape(0.3)[rig.landmarks] - rig.shape(0.0)[rig.landmarks]
    assert moved[8, 2] < -0.08
    assert moved[8, 1] > 0.03
    np.testing.assert_allclose(moved[27:48], 0.0, atol=2e-3)


def test_landmarks_are_projections_of_points_of_the_head(rig: Rig, clip: HeadFrames) -> None:
    for index, pose in enumerate(POSES):
        points = rig.shape(APERTURES[index], WIDTHS[index], BLINKS[index])[rig.landmarks].astype(np.float64)
        local = np.linalg.inv(pose) @ np.concatenate([points, np.ones((68, 1))], axis=1).T
        focal = FOCAL_OVER_WIDTH * SIZE
        expected = np.stack([SIZE / 2 - focal * local[0] / local[2], SIZE / 2 + focal * local[1] / local[2]], axis=1)
        np.testing.assert_allclose(clip.landmarks[index, :, :2], expected, atol=1e-3)


def test_drawn_lips_lie_between_the_landmarks_of_the_lips(clip: HeadFrames) -> None:
    for parsing, points in zip(clip.parsing, clip.landmarks, strict=True):
        outer = points[48:60, :2]
        drawn = box_of(parsing, (Region.LIPS, Region.INNER_MOUTH))
        np.testing.assert_allclose(drawn[:2], outer.min(axis=0), atol=1.6)
        np.testing.assert_allclose(drawn[2:], outer.max(axis=0), atol=1.6)
        middle_of_lower_lip = (points[57, :2] + points[66, :2]) / 2
        assert region_at(parsing, middle_of_lower_lip) == Region.LIPS


def test_open_mouth_shows_its_inside_between_the_inner_lips(clip: HeadFrames) -> None:
    for index in (1, 2, 4):
        middle = clip.landmarks[index, [62, 66], :2].mean(axis=0)
        assert region_at(clip.parsing[index], middle) == Region.INNER_MOUTH
    assert not (clip.parsing[0] == Region.INNER_MOUTH).any()


def test_teeth_are_brighter_than_the_room_behind_them() -> None:
    clip = render(identity("ada"), np.array([0.3]), np.ones(1), np.zeros(1), head_pose()[None], 128)
    inside = clip.images[0][clip.parsing[0] == Region.INNER_MOUTH].mean(axis=-1)
    assert inside.max() > 150
    assert np.percentile(inside, 30) < 70


def test_blink_closes_the_eyes(clip: HeadFrames) -> None:
    pixels = [(parsing == Region.EYES).sum() for parsing in clip.parsing]
    assert pixels[3] == 0
    assert min(pixels[0], pixels[1], pixels[2], pixels[4]) > 10
    assert measure.eye_opening(clip.landmarks, SCHEME)[3] < 0.02
    assert measure.eye_opening(clip.landmarks, SCHEME)[0] > 0.2


def test_eyes_are_drawn_between_their_landmarks(clip: HeadFrames) -> None:
    for index in (0, 1, 2, 4):
        for eye in (SCHEME.right_eye, SCHEME.left_eye):
            assert region_at(clip.parsing[index], clip.landmarks[index, eye, :2].mean(axis=0)) == Region.EYES


def test_torso_over_the_plate_is_the_image_where_there_is_no_head(clip: HeadFrames) -> None:
    for image, torso, parsing in zip(clip.images, clip.torso, clip.parsing, strict=True):
        alpha = torso[..., 3:] / 255
        behind = torso[..., :3] * alpha + clip.background * (1 - alpha)
        head = np.isin(parsing, HEAD_REGIONS)
        grown = head.copy()
        for axis in (0, 1):
            grown |= np.roll(grown, 1, axis) | np.roll(grown, -1, axis)
        assert np.abs(behind - image)[~grown].max() <= 2.0


def test_torso_continues_under_the_chin(clip: HeadFrames) -> None:
    for torso, points in zip(clip.torso, clip.landmarks, strict=True):
        column, row = points[8, :2].astype(int)
        assert torso[row - 2, column, 3] == 255


def test_torso_depends_on_the_pose_alone() -> None:
    pose = np.repeat(head_pose(4.0, 2.0)[None], 2, axis=0)
    clip = render(identity("ada"), np.array([0.0, 0.3]), np.ones(2), np.array([0.0, 1.0]), pose, 48)
    np.testing.assert_array_equal(clip.torso[0], clip.torso[1])


def test_same_input_gives_the_same_frames(clip: HeadFrames) -> None:
    again = render(identity("ada"), APERTURES, WIDTHS, BLINKS, POSES, SIZE)
    np.testing.assert_array_equal(again.images, clip.images)
    np.testing.assert_array_equal(again.landmarks, clip.landmarks)


def test_identities_look_different() -> None:
    still = (np.zeros(1), np.ones(1), np.zeros(1), head_pose()[None], 48)
    faces = [render(identity(name), *still).images[0].astype(float) for name in [*IDENTITIES, "somebody else"]]
    for first in range(len(faces)):
        for second in range(first):
            assert np.abs(faces[first] - faces[second]).mean() > 4


def test_turning_the_head_right_moves_the_nose_right() -> None:
    renderer = HeadRenderer(identity("ada"), 48)
    ahead, turned = (renderer.frame(0.0, 1.0, 0.0, head_pose(yaw))[3] for yaw in (0.0, 8.0))
    assert turned[30, 0] > ahead[30, 0] + 1
    assert project(np.zeros((1, 3)), head_pose(), 48)[0, 2] == pytest.approx(3.3)


@pytest.mark.parametrize("name", ["ada", "bruno", "dora"])
def test_inside_of_the_mouth_never_shows_beside_the_lips(name: str) -> None:
    apertures, widths = np.array([0.0, 0.1, 0.3, 0.4]), np.array([0.72, 0.72, 0.78, 1.15])
    poses = np.stack([head_pose(8.0), head_pose(-8.0), head_pose(), head_pose(-6.0, 3.0)])
    clip = render(identity(name), apertures, widths, np.zeros(4), poses, 128)
    for parsing, points in zip(clip.parsing, clip.landmarks, strict=True):
        inside = np.argwhere(parsing == Region.INNER_MOUTH)[:, ::-1] + 0.5
        outer = points[48:60, :2]
        assert ((inside > outer.min(axis=0) - 1) & (inside < outer.max(axis=0) + 1)).all()


def test_classes_are_parts_of_the_regions(clip: HeadFrames) -> None:
    np.testing.assert_array_equal(REGION_OF_CLASS[clip.classes], clip.parsing)


@pytest.mark.parametrize("name", list(IDENTITIES))
def test_every_class_is_shown_by_an_open_mouth(name: str) -> None:
    frames = render(identity(name), np.array([0.3]), np.ones(1), np.zeros(1), np.stack([head_pose()]), SIZE)
    missing = {face_class for face_class in FaceClass if not (frames.classes == face_class).any()}
    assert missing <= {FaceClass.EARS}, "only hair may hide something"


@pytest.mark.parametrize(
    ("face_class", "points"), [(FaceClass.BROWS, [19, 24]), (FaceClass.NOSE, [28, 30]), (FaceClass.LIPS, [51, 57])]
)
def test_landmarks_lie_on_their_class(clip: HeadFrames, face_class: FaceClass, points: list[int]) -> None:
    for classes, landmarks in zip(clip.classes, clip.landmarks, strict=True):
        drawn = np.argwhere(classes == face_class)[:, ::-1] + 0.5
        for point in landmarks[points, :2]:
            assert np.linalg.norm(drawn - point, axis=1).min() < 1.5


def test_the_neck_ends_where_the_clothes_begin(clip: HeadFrames) -> None:
    for image, classes in zip(clip.images.astype(float), clip.classes, strict=True):
        red_over_blue = image[..., 0] - image[..., 2]
        assert red_over_blue[classes == FaceClass.NECK].mean() > 10, "skin"
        assert red_over_blue[classes == FaceClass.CLOTHES].mean() < -10, "a blue shirt"
