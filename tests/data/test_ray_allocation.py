"""SSP-1: the allocator's sums, bounds, absent classes, and that more loss never means fewer rays."""

from __future__ import annotations

import numpy as np
import pytest

from ns_talking.data.ray_allocation import allocate_rays

CLASSES, FLOOR, CAP = 11, 1 / 44, 0.4


@pytest.fixture
def drawn() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    available = random.integers(0, 4000, (200, CLASSES)) * (random.random((200, CLASSES)) < 0.8)
    available[:, 0] += 3000
    return random.random(CLASSES) ** 4, available, random.integers(100, 900, 200)


def test_rays_sum_up_and_no_class_gets_more_than_it_has(drawn: tuple[np.ndarray, ...]) -> None:
    losses, available, num_rays = drawn
    counts = allocate_rays(losses, available, num_rays, FLOOR, CAP)
    assert (counts.sum(axis=1) == num_rays).all()
    assert (counts >= 0).all() and (counts <= available).all()
    assert not counts[available == 0].any()


def test_classes_that_are_there_get_the_floor_and_none_gets_more_than_the_cap(drawn: tuple[np.ndarray, ...]) -> None:
    losses, available, num_rays = drawn
    counts = allocate_rays(losses, available, num_rays, FLOOR, CAP)
    enough = available >= num_rays[:, None]
    assert (counts >= np.floor(FLOOR * num_rays)[:, None])[enough].all()
    takes_the_rest = np.minimum(available / num_rays[:, None], CAP).sum(axis=1) >= 1
    assert takes_the_rest.any()
    assert (counts <= np.ceil(CAP * num_rays)[:, None])[takes_the_rest].all()


def test_more_loss_never_means_fewer_rays() -> None:
    random = np.random.default_rng(1)
    available = np.full((1, CLASSES), 10_000)
    for _ in range(50):
        losses = random.random(CLASSES) ** 6
        counts = allocate_rays(losses, available, np.array([1000]), FLOOR, CAP)[0]
        assert (np.diff(counts[np.argsort(losses)]) >= -1).all()


def test_without_bounds_rays_follow_the_losses_of_the_classes_that_are_there() -> None:
    losses = np.array([1.0, 2.0, 5.0, 100.0])
    counts = allocate_rays(losses, np.array([[9999, 9999, 9999, 0]]), np.array([800]), 0.0, 1.0)
    assert counts.tolist() == [[100, 200, 500, 0]]


def test_a_frame_with_fewer_pixels_than_rays_is_taken_whole() -> None:
    counts = allocate_rays(np.array([1.0, 9.0]), np.array([[30, 10]]), np.array([400]), FLOOR, CAP)
    assert counts.tolist() == [[300, 100]]


def test_losses_of_zero_are_no_reason_to_fail() -> None:
    counts = allocate_rays(np.zeros(CLASSES), np.full((3, CLASSES), 500), np.array([100, 101, 7]), FLOOR, CAP)
    assert counts.sum(axis=1).tolist() == [100, 101, 7]
