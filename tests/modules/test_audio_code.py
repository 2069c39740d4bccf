"""The audio code normalises, matches voices, and is driven by a lip shape where one is fitted."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ns_talking.modules.audio_code import AudioCode, AudioCodeConfig
from ns_talking.modules.lip_shape_fit import LipShapeFitConfig

CHANNELS, FRAMES, POINTS, HOP = 6, 160, 8, 4


def code(**options: object) -> AudioCode:
    torch.manual_seed(0)
    config = AudioCodeConfig(
        lip_shape=LipShapeFitConfig(num_components=2, span_s=0.16, num_projections=16, num_networks=0), **options
    )  # type: ignore[arg-type] # Checked by the dataclass's users.
    return config.setup(
        feature_channels=CHANNELS,
        identity="test",
        steps_per_frame=HOP,
        num_lip_points=POINTS,
        num_frames=FRAMES,
    ).eval()


def sound() -> tuple[np.ndarray, torch.Tensor, torch.Tensor]:
    """Features over time, the context of every frame, and lip shapes that follow the features."""
    generator = np.random.default_rng(0)
    steps = FRAMES * HOP + 64
    values = np.cumsum(generator.normal(size=(steps, CHANNELS)), axis=0)
    values = (values - values.mean(0)).astype(np.float32)
    starts = (np.arange(FRAMES)[:, None] + np.arange(8)) * HOP
    context = np.stack([[values[start : start + 16].T for start in row] for row in starts])
    middle = values[np.arange(FRAMES) * HOP + 24]
    basis = generator.normal(size=(2, POINTS, 2))
    shapes = np.einsum("fk,kpa->fpa", middle[:, :2], basis).astype(np.float32)
    return values, torch.from_numpy(context), torch.from_numpy(shapes)


def test_statistics_make_the_training_features_standard() -> None:
    _, context, _ = sound()
    encoder = code()
    windows = encoder.wide_windows(context)
    encoder.fit_statistics(windows)
    normal = (windows - encoder.mean[:, None]) * encoder.scale[:, None]
    torch.testing.assert_close(normal.mean(dim=(0, 2)), torch.zeros(CHANNELS), atol=1e-3, rtol=0)
    torch.testing.assert_close(normal.transpose(0, 1).flatten(1).std(dim=1), torch.ones(CHANNELS), atol=1e-2, rtol=0)


def test_a_louder_recording_of_the_same_sound_gives_the_same_code_once_matched() -> None:
    values, context, _ = sound()
    encoder = code()
    encoder.fit_statistics(encoder.wide_windows(context))
    encoder.voice = encoder.voice_match(values)
    own = encoder(context, torch.arange(FRAMES))
    encoder.voice = encoder.voice_match(1.5 * values + 3)
    louder = encoder(1.5 * context + 3, torch.arange(FRAMES))
    torch.testing.assert_close(louder, own, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("values", [None, np.zeros((0, CHANNELS), np.float32), np.ones((99, CHANNELS), np.float32)])
def test_sound_without_content_is_left_as_it_is(values: np.ndarray | None) -> None:
    _, context, _ = sound()
    encoder = code()
    encoder.fit_statistics(encoder.wide_windows(context))
    plain = encoder(context, torch.arange(FRAMES))
    encoder.voice = encoder.voice_match(values)
    assert torch.equal(encoder(context, torch.arange(FRAMES)), plain)


def test_training_frames_are_driven_by_their_tracked_shapes_and_others_by_predicted_ones() -> None:
    _, context, shapes = sound()
    encoder = code(use_lip_shape=True, use_encoder=False, tracked_share=1.0, lip_noise=0.0)
    inner = torch.arange(POINTS) > 3
    training = encoder.fit_lip_shape(encoder.wide_windows(context), torch.arange(FRAMES), shapes, inner)
    assert training is not None
    frames = torch.arange(FRAMES)
    expected = encoder.lip_code(encoder.predict_lip_shape(context))
    torch.testing.assert_close(encoder(context, frames), expected)
    torch.testing.assert_close(encoder.train()(context, frames), encoder.lip_code(training.tracked))


def test_emphasised_lips_move_further_from_rest_as_far_as_lips_were_seen_and_stay_there_at_rest() -> None:
    _, context, shapes = sound()
    plain = code(use_lip_shape=True, use_encoder=False)
    emphasised = code(use_lip_shape=True, use_encoder=False, lip_emphasis=1.5)
    inner_lips, frames = torch.arange(POINTS) > 3, torch.arange(FRAMES)
    for encoder in (plain, emphasised):
        encoder.fit_lip_shape(encoder.wide_windows(context), frames, shapes, inner_lips)
    assert torch.equal(plain(context, frames), emphasised(context, frames)), "rest is not known yet"
    for encoder in (plain, emphasised):
        encoder.set_rest(context[:1], shapes[:1], inner_lips)
    assert plain.lip_fit is not None
    lowest, highest = plain.lip_fit.component_range
    wanted = plain.rest_shape + 1.5 * (plain.predict_lip_shape(context) - plain.rest_shape)
    assert bool((wanted < lowest).any()) and bool((wanted > highest).any())
    torch.testing.assert_close(emphasised(context, frames), plain.lip_code(wanted.clamp(lowest, highest)))
    silent = torch.zeros(FRAMES)
    assert torch.equal(emphasised(context, frames, voice=silent), plain(context, frames, voice=silent))
    assert torch.equal(emphasised.train()(context, frames), plain.train()(context, frames))


def test_codes_that_are_measured_from_the_mean_sound_have_mean_zero_whatever_was_learned() -> None:
    _, context, shapes = sound()
    options = {"use_lip_shape": True, "tracked_share": 1.0, "lip_noise": 0.0}
    plain, measured = code(**options), code(**options, from_mean_sound=True)
    frames = torch.arange(0, FRAMES, 10)
    for encoder in (plain, measured):
        windows = encoder.wide_windows(context)
        encoder.fit_statistics(windows)
        encoder.fit_lip_shape(windows, torch.arange(FRAMES), shapes, torch.arange(POINTS) > 3)
        encoder.tracked -= encoder.tracked[frames].mean(dim=0)
        for name, parameter in encoder.named_parameters():
            if name.endswith("bias"):
                torch.nn.init.constant_(parameter, 3.0)
        encoder.train()
    measured.set_mean_sounds(context[frames])
    found, expected = measured(context[frames], frames), plain(context[frames], frames)
    torch.testing.assert_close(found, expected - expected.mean(dim=0), atol=1e-4, rtol=1e-4)
    shared, left = (codes.detach().mean(dim=0).abs() for codes in (expected, found))
    assert float(shared.min()) > 1 > 1e4 * float(left.max())


def test_the_mean_code_is_encoded_once_and_anew_when_anything_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    _, context, _ = sound()
    encoder = code(from_mean_sound=True)
    encoder.set_mean_sounds(context[:16])
    encoder.eval()
    calls: list[int] = []
    encoded = encoder._encoded
    monkeypatch.setattr(encoder, "_encoded", lambda audio: (calls.append(len(audio)), encoded(audio))[1])

    def heard() -> torch.Tensor:
        with torch.no_grad():
            return encoder(context[20:21], torch.arange(1))

    first = heard()
    assert torch.equal(heard(), first) and calls == [1, 16, 1]
    expected = encoded(context[20:21]) - encoded(context[:16]).mean(dim=0)
    torch.testing.assert_close(first, expected)
    for change in (
        lambda: encoder.set_mean_sounds(context[30:46]),
        lambda: encoder.encoder.load_state_dict({k: v * 1.1 for k, v in encoder.encoder.state_dict().items()}),
        lambda: encoder.mean.add_(0.1),
    ):
        before = heard()
        change()
        calls.clear()
        assert not torch.equal(heard(), before) and 16 in calls
        calls.clear()
        heard()
        assert calls == [1]


def test_configs_from_before_know_codes_with_a_part_that_all_share() -> None:
    state = dict(vars(AudioCodeConfig(from_mean_sound=True)))
    del state["from_mean_sound"]
    old = AudioCodeConfig.__new__(AudioCodeConfig)
    old.__setstate__(state)
    assert not old.from_mean_sound


def test_the_draw_of_shapes_is_a_function_of_the_seed() -> None:
    _, context, shapes = sound()
    encoder = code(use_lip_shape=True, tracked_share=0.5)
    encoder.fit_lip_shape(encoder.wide_windows(context), torch.arange(FRAMES), shapes, torch.arange(POINTS) > 3)
    encoder.train()
    first, again, other = (encoder(context, torch.arange(FRAMES), seed) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_windows_at_unknown_distances_have_no_lip_shape() -> None:
    config = AudioCodeConfig(use_lip_shape=True, use_encoder=False)
    encoder = config.setup(
        feature_channels=29, identity="test", steps_per_frame=None, num_lip_points=POINTS, num_frames=FRAMES
    )
    assert encoder.lip_fit is None and encoder.encoder is not None
    assert encoder(torch.randn(3, 8, 29, 16), torch.arange(3)).shape == (3, 32)


@pytest.mark.parametrize(("channels", "window", "hop"), [(29, 16, 2), (12, 2, 2), (20, 1, 1), (8, 16, 4)])
def test_a_lip_shape_can_precede_every_layout_of_features(channels: int, window: int, hop: int) -> None:
    config = AudioCodeConfig(
        use_lip_shape=True,
        lip_shape=LipShapeFitConfig(num_components=2, num_networks=hop % 2, network_iterations=5, num_folds=2),
    )
    encoder = config.setup(
        feature_channels=channels, identity="test", steps_per_frame=hop, num_lip_points=POINTS, num_frames=FRAMES
    ).eval()
    generator = np.random.default_rng(0)
    values = generator.normal(size=(FRAMES * hop + 8 * hop + window, channels)).astype(np.float32)
    starts = (np.arange(FRAMES)[:, None] + np.arange(8)) * hop
    context = torch.from_numpy(np.stack([[values[start : start + window].T for start in row] for row in starts]))
    at = np.arange(FRAMES) * hop + 4 * hop + window // 2
    shapes = torch.zeros(FRAMES, POINTS, 2)
    shapes[:, 4:, 1] = torch.from_numpy(values[at, :1])
    windows = encoder.wide_windows(context)
    encoder.fit_statistics(windows)
    training = encoder.fit_lip_shape(windows, torch.arange(FRAMES), shapes, torch.arange(POINTS) > 3)
    assert training is not None
    assert float(training.correlation[0]) > 0.3
    assert encoder(context, torch.arange(FRAMES)).shape == (FRAMES, 32)


def test_a_portrait_that_was_trained_without_lip_shape_is_loaded_without() -> None:
    trained, loaded = code(), code(use_lip_shape=True)
    loaded.load_state_dict(trained.state_dict())
    assert loaded.lip_fit is None
    assert loaded.state_dict().keys() == trained.state_dict().keys()
    _, context, _ = sound()
    assert torch.equal(loaded(context, torch.arange(FRAMES)), trained(context, torch.arange(FRAMES)))


def test_the_extractor_s_identity_travels_in_the_checkpoint() -> None:
    trained, loaded = code(), code()
    trained.identity = "mel-v7"
    loaded.load_state_dict(trained.state_dict())
    assert loaded.identity == "mel-v7"
