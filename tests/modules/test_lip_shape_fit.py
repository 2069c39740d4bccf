import io

import numpy as np
import pytest
import torch
import yaml

from ns_talking.audio.base import AudioFeatures
from ns_talking.driving.windows import context_windows
from ns_talking.modules.kernel_ridge import KernelRidge
from ns_talking.modules.lip_shape_fit import LipShapeFit, LipShapeFitConfig, join_context

CHANNELS, POINTS, HOP = 6, 10, 4
INNER = torch.arange(POINTS) >= 5
SMALL = {
    "num_components": 3,
    "span_s": 0.08,
    "taper_s": 0.03,
    "lags_s": (0.0,),
    "num_projections": 24,
    "guard_frames": 4,
}
CONFIG = LipShapeFitConfig(**SMALL, num_networks=0)
WITH_NETWORK = LipShapeFitConfig(**SMALL, num_networks=1, network_iterations=15)


def clip(num_frames: int = 400, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Windows of smooth noise, and lips that follow it: the opening by a bend, the width linearly."""
    generator = np.random.default_rng(seed)
    table = generator.normal(size=(num_frames * HOP + 40, CHANNELS))
    table = np.apply_along_axis(lambda row: np.convolve(row, np.hanning(9), "same"), 0, table).astype(np.float32)
    features = AudioFeatures("noise", table, 100.0, 16, np.zeros(CHANNELS, np.float32), "noise")
    windows = torch.from_numpy(features.windows(np.arange(num_frames) / 25))
    centre = windows[:, :, 8]
    shapes = torch.randn(POINTS, 2, generator=torch.Generator().manual_seed(0)).repeat(num_frames, 1, 1)
    shapes[:, 5:, 1] += torch.tanh(centre[:, :1] + 0.5 * centre[:, 1:2])
    shapes[:, :5, 0] += 0.5 * centre[:, 2:3]
    return windows, shapes


def fitted(config: LipShapeFitConfig = CONFIG, seed: int = 0) -> LipShapeFit:
    fit: LipShapeFit = config.setup(feature_channels=CHANNELS, num_points=POINTS)
    fit.fit(*clip(), INNER, HOP, seed=seed)
    return fit


@pytest.mark.parametrize("config", [CONFIG, WITH_NETWORK], ids=["kernel", "with network"])
def test_lips_that_follow_the_sound_are_predicted_where_the_fit_has_not_seen_them(config: LipShapeFitConfig) -> None:
    fit: LipShapeFit = config.setup(feature_channels=CHANNELS, num_points=POINTS)
    training = fit.fit(*clip(), INNER, HOP)
    assert float(training.correlation[0]) > 0.7
    windows, shapes = clip(seed=1)
    found = fit.shapes(fit.predict(windows))[:, 7, 1]
    assert float(torch.corrcoef(torch.stack([found, shapes[:, 7, 1]]))[0, 1]) > 0.7


def test_tracked_components_describe_the_tracked_shapes() -> None:
    windows, shapes = clip()
    fit: LipShapeFit = CONFIG.setup(feature_channels=CHANNELS, num_points=POINTS)
    training = fit.fit(windows, shapes, INNER, HOP)
    torch.testing.assert_close(fit.shapes(training.tracked), shapes, atol=1e-3, rtol=0)


def test_the_gain_raises_the_spread_towards_the_tracked_one() -> None:
    fit = fitted()
    windows, _ = clip(seed=1)
    assert float(fit.gain[0]) >= 1.0
    assert float(fit.predict(windows)[:, 0].std()) >= float(fit.predict(windows, use_gain=False)[:, 0].std())


def test_times_follow_the_rate_of_the_features() -> None:
    config = LipShapeFitConfig()
    mel, half, frame_rate = (
        config.setup(feature_channels=3, num_points=4, rate_hz=rate) for rate in (100.0, 50.0, 25.0)
    )
    assert (mel.span, mel.lags, mel.margin, round(mel.taper, 6)) == (32, (-4, -2, 0, 2, 4), 2, 7.0)
    assert (half.span, half.lags, half.margin, round(half.taper, 6)) == (16, (-2, -1, 0, 1, 2), 1, 3.5)
    assert (frame_rate.span, frame_rate.lags, frame_rate.margin) == (8, (-1, 0, 1), 1)
    first = [fit.networks[0].layers[0] for fit in (mel, half, frame_rate)]
    assert [layer.kernel_size for layer in first] == [(8,), (4,), (2,)]


def test_a_config_that_counts_in_steps_of_mel_is_still_read() -> None:
    text = (
        "!!python/object:ns_talking.modules.lip_shape_fit.LipShapeFitConfig\n"
        "span: 24\ntaper: 5.0\nlags: !!python/tuple [-2, 0, 2]\nnum_components: 4\n"
    )
    config = yaml.load(text, Loader=yaml.Loader)
    assert (config.span_s, config.taper_s, config.lags_s) == (0.24, 0.05, (-0.02, 0.0, 0.02))
    assert (config.num_components, config.num_folds) == (4, 5)
    assert yaml.load(yaml.dump(CONFIG), Loader=yaml.Loader) == CONFIG


def test_the_same_seed_gives_the_same_fit() -> None:
    windows, _ = clip(seed=1)
    assert torch.equal(fitted(WITH_NETWORK, seed=3).predict(windows), fitted(WITH_NETWORK, seed=3).predict(windows))


def test_fitting_leaves_the_global_random_state() -> None:
    fit: LipShapeFit = WITH_NETWORK.setup(feature_channels=CHANNELS, num_points=POINTS)
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    fit.fit(*clip(), INNER, HOP)
    assert torch.equal(torch.rand(1), expected)


def test_a_fit_comes_back_from_a_checkpoint_of_tensors_alone() -> None:
    fit = fitted(WITH_NETWORK)
    file = io.BytesIO()
    torch.save(fit.state_dict(), file)
    file.seek(0)
    loaded: LipShapeFit = WITH_NETWORK.setup(feature_channels=CHANNELS, num_points=POINTS)
    loaded.load_state_dict(torch.load(file, weights_only=True))
    assert all(torch.equal(found, fit.state_dict()[name]) for name, found in loaded.state_dict().items())
    windows, _ = clip(seed=1)
    # Where a tensor lies in memory decides how a matrix product is summed up.
    torch.testing.assert_close(loaded.predict(windows), fit.predict(windows), atol=1e-5, rtol=1e-5)


def test_nothing_of_a_fit_is_left_to_train() -> None:
    assert not any(parameter.requires_grad for parameter in fitted(WITH_NETWORK).parameters())


def test_sound_that_never_changes_never_moves_the_lips() -> None:
    fit = fitted()
    silence = torch.full((30, CHANNELS, 16), -100.0)
    assert float(fit.predict(silence).std(dim=0).max()) < 1e-5


def test_frames_without_a_face_are_predicted_and_change_no_other_frame_to_nan() -> None:
    windows, shapes = clip()
    shapes[50:60] = float("nan")
    fit: LipShapeFit = CONFIG.setup(feature_channels=CHANNELS, num_points=POINTS)
    training = fit.fit(windows, shapes, INNER, HOP)
    assert bool(torch.isfinite(training.tracked).all())
    assert torch.equal(training.tracked[50:60], training.out_of_fold[50:60])


def test_too_few_faces_are_refused() -> None:
    windows, shapes = clip(60)
    fit: LipShapeFit = CONFIG.setup(feature_channels=CHANNELS, num_points=POINTS)
    with pytest.raises(ValueError, match="needs 100 frames with a face to be fitted, found 60"):
        fit.fit(windows, shapes, INNER, HOP)


def test_the_joined_context_is_the_wide_window_around_the_frame() -> None:
    generator = np.random.default_rng(0)
    table = generator.normal(size=(400, CHANNELS)).astype(np.float32)
    silence = np.zeros(CHANNELS, np.float32)
    frames = np.array([0, 3, 50, 99])
    narrow = AudioFeatures("noise", table, 100.0, 16, silence, "noise")
    wide = AudioFeatures("noise", table, 100.0, 40, silence, "noise")
    joined = join_context(torch.from_numpy(context_windows(narrow, frames, 25.0)), HOP)
    assert torch.equal(joined, torch.from_numpy(wide.windows(frames / 25)))


def test_fewer_supports_than_frames_approximate_the_full_regression() -> None:
    windows, shapes = clip()
    inputs, outputs = windows.flatten(1), shapes[:, 7]
    predictions = []
    for most in (400, 250):
        kernel = KernelRidge(inputs.shape[1], 24, 2)
        kernel.fit_projection(inputs)
        kernel.fit(inputs, outputs, torch.arange(400), most)
        predictions.append(kernel(inputs))
    full, approximate = predictions
    assert float((full - approximate).square().mean()) < 0.1 * float(outputs.var(dim=0).mean())


def test_with_the_level_apart_a_louder_recording_changes_lips_less() -> None:
    windows, shapes = clip()
    tilt = windows[:, 0, 8] - windows[:, 1, 8]
    shapes[:, 5:, 1] = shapes[:1, 5:, 1] + torch.tanh(tilt)[:, None]
    louder = windows + 2 * windows.std()

    def change(**options: bool) -> float:
        fit: LipShapeFit = LipShapeFitConfig(**SMALL, num_networks=0, **options).setup(
            feature_channels=CHANNELS, num_points=POINTS
        )
        fit.fit(windows, shapes, INNER, HOP)
        return float((fit.predict(louder) - fit.predict(windows)).abs().mean())

    assert change(level_apart=True) < 0.7 * change()


def test_a_fit_with_the_level_apart_returns_from_its_state() -> None:
    config = LipShapeFitConfig(**SMALL, num_networks=1, network_iterations=5, level_apart=True)
    fit = fitted(config)
    again: LipShapeFit = config.setup(feature_channels=CHANNELS, num_points=POINTS)
    again.load_state_dict(fit.state_dict())
    windows, _ = clip(seed=1)
    assert torch.equal(again.predict(windows), fit.predict(windows))
