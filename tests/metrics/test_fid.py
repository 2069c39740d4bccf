"""The Frechet distance of known distributions."""

from __future__ import annotations

import numpy as np
import pytest

from ns_talking.metrics.fid import Moments, frechet_distance


def moments(vectors: np.ndarray) -> Moments:
    found = Moments(vectors.shape[1])
    for part in np.array_split(vectors, 7):
        found.add(part)
    return found


def test_moments_taken_in_parts_are_those_of_the_whole() -> None:
    vectors = np.random.default_rng(0).normal(size=(200, 5)) * [1, 2, 3, 4, 5]
    np.testing.assert_allclose(moments(vectors).mean, vectors.mean(axis=0))
    np.testing.assert_allclose(moments(vectors).covariance, np.cov(vectors.T))


def test_a_distribution_is_no_distance_from_itself() -> None:
    vectors = np.random.default_rng(0).normal(size=(500, 8))
    assert frechet_distance(moments(vectors), moments(vectors)) == pytest.approx(0, abs=1e-8)


def test_shift_and_scale_count_as_the_closed_form_says() -> None:
    vectors = np.random.default_rng(0).normal(size=(500, 8))
    base = moments(vectors)
    assert frechet_distance(moments(vectors + 2), base) == pytest.approx(8 * 4)
    # For the same axes the distance is the sum over them of the squared difference of the deviations.
    spread = np.sqrt(np.linalg.eigvalsh(base.covariance))
    expected = np.square(2 * spread).sum() + np.square(2 * vectors.mean(axis=0)).sum()
    assert frechet_distance(moments(3 * vectors), base) == pytest.approx(expected)
