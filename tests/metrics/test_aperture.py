import numpy as np
import pytest

from ns_talking.metrics.aperture import best_lag, bootstrap_interval, correlation, rolled_correlations, spread_ratio


def curve(seed: int = 0, num_frames: int = 200) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=num_frames + 4)
    return np.convolve(noise, np.ones(5) / 5, "valid")


def test_a_curve_correlates_fully_with_itself_at_any_gain() -> None:
    assert correlation(3 * curve() + 1, curve()) == pytest.approx(1.0)
    assert spread_ratio(0.5 * curve() + 1, curve()) == pytest.approx(0.5)


def test_a_constant_correlates_with_nothing() -> None:
    assert correlation(np.ones(200), curve()) == 0.0


def test_frames_without_a_face_do_not_count() -> None:
    real = curve()
    rendered = real.copy()
    rendered[::7] = np.nan
    assert correlation(rendered, real) == pytest.approx(1.0)


@pytest.mark.parametrize("lag", [-3, 0, 2])
def test_the_delay_of_a_curve_is_found(lag: int) -> None:
    found, value = best_lag(np.roll(curve(), lag), curve())
    assert found == lag
    assert value == pytest.approx(1.0)


def test_the_interval_holds_the_correlation_and_narrows_with_length() -> None:
    intervals = []
    for num_frames in (150, 1500):
        real = curve(0, num_frames)
        rendered = real + curve(1, num_frames)
        low, high = bootstrap_interval(rendered, real)
        assert low < correlation(rendered, real) < high
        intervals.append(high - low)
    assert intervals[1] < intervals[0]


@pytest.mark.parametrize("num_frames", [41, 200])
def test_rolled_curves_are_correlated_as_one_by_one(num_frames: int) -> None:
    rendered, real = curve(0, num_frames), curve(1, num_frames)
    rendered[5:9], real[12] = np.nan, np.nan
    expected = [correlation(np.roll(rendered, roll), real) for roll in range(20, num_frames - 19)]
    np.testing.assert_allclose(rolled_correlations(rendered, real), expected, atol=1e-9)
    assert len(rolled_correlations(rendered[:39], real[:39])) == 0


def test_rolled_curves_correlate_by_chance_alone() -> None:
    assert np.abs(rolled_correlations(curve(), curve())).max() < 0.6
