"""The face's place in depth, from landmarks and head poses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from portraits import write_tiny_portrait

from ns_talking.data.face_surface import BACK, FaceSurface, face_surface
from ns_talking.data.format import Portrait, read_portrait
from ns_talking.demo.identity import identity
from ns_talking.demo.rig import build_rig

FRONT = np.array([0.0, -1.0, 0.0])


def portrait(tmp_path: Path) -> Portrait:
    return read_portrait(write_tiny_portrait(tmp_path / "portrait", num_frames=40))


def cameras(portrait: Portrait) -> np.ndarray:
    return portrait.head_poses[:, :3]


def test_landmarks_are_found_in_depth_where_the_head_turns(tmp_path: Path) -> None:
    clip = portrait(tmp_path)
    surface = face_surface(clip, range(40), cameras(clip))
    assert surface is not None
    assert surface.towards_camera @ FRONT > 0.99
    # The tip of the nose (31st of 68) lies in front of the jaw's ends, by the head's own radii.
    nose, jaw = surface.points[30], surface.points[[0, 16]].mean(axis=0)
    assert nose[1] < jaw[1] - 0.1


def test_a_head_that_never_turns_says_nothing_about_depth(tmp_path: Path) -> None:
    clip = portrait(tmp_path)
    still = np.repeat(cameras(clip)[:1], 40, axis=0)
    assert face_surface(clip, range(40), still) is None


def test_frames_without_a_face_are_left_out(tmp_path: Path) -> None:
    clip = read_portrait(write_tiny_portrait(tmp_path / "portrait", num_frames=40, unusable=(3, 4)))
    surface = face_surface(clip, range(40), cameras(clip))
    assert surface is not None
    assert np.isfinite(surface.points).all()


def test_the_head_lies_in_a_layer_around_the_face_and_recedes_beside_it() -> None:
    square = np.array([[x, 0.0, z] for x in (-0.3, 0.0, 0.3) for z in (-0.3, 0.0, 0.3)])
    surface = FaceSurface(square, FRONT)
    inside = np.array([[0.1, y, 0.1] for y in (-0.1, -0.05, 0.1, 0.2, 0.3)])
    assert surface.may_hold_head(inside).tolist() == [False, True, True, True, False]
    # 0.5 beside the nearest landmark the head lies at least 0.5 - 0.2 further back.
    beside = np.array([[0.8, y, 0.0] for y in (-0.1, 0.2, 0.35, 0.8)])
    assert surface.may_hold_head(beside).tolist() == [False, False, True, True]


def test_an_open_jaw_is_not_cut_off() -> None:
    """The mean landmarks belong to a nearly closed mouth."""
    rig = build_rig(identity("ada"))
    surface = FaceSurface(rig.shape(0.1)[rig.landmarks].astype(np.float64), FRONT)
    for aperture in (0.0, rig.largest_aperture / 2, rig.largest_aperture):
        vertices = rig.shape(aperture).astype(np.float64)
        # What lies behind the layer is seen through the open mouth alone, where the layer's end stands for it.
        ahead = vertices + BACK * surface.towards_camera
        jaw = in_front(vertices, surface) & (rig.jaw_share > 0.1)
        cut = jaw & ~surface.may_hold_head(vertices) & ~surface.may_hold_head(ahead)
        assert cut.mean() < 1e-3


def in_front(vertices: np.ndarray, surface: FaceSurface) -> np.ndarray:
    """Tell which vertices nothing stands before, on a grid of 5 mm."""
    axes = np.linalg.svd(surface.towards_camera[None])[2][1:]
    _, cell = np.unique(np.round(vertices @ axes.T / 0.02), axis=0, return_inverse=True)
    nearness = vertices @ surface.towards_camera
    nearest = np.full(cell.max() + 1, -np.inf)
    np.maximum.at(nearest, cell.ravel(), nearness)
    return nearness > nearest[cell.ravel()] - 0.03
