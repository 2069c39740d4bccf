"""References are blended point by point, and by what is heard in them where attention does it."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor

from ns_talking.modules.aggregation import Aggregation, AudioAwareAggregation, MeanAggregation, SlotAggregation

POINTS, REFERENCES, FEATURE, CODE, PLACE = 50, 4, 12, 16, 9


def inputs(seed: int = 0, frames: int = 1) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return {
        "features": torch.randn(POINTS, REFERENCES, FEATURE),
        "pixels": torch.rand(POINTS, REFERENCES, 2) * 2 - 1,
        "points": torch.randn(POINTS, PLACE),
        "code": torch.randn(frames, CODE),
        "frame_row": torch.arange(POINTS) % frames,
        "reference_codes": torch.randn(REFERENCES, CODE),
    }


def attention(**options: bool) -> AudioAwareAggregation:
    torch.manual_seed(1)
    return AudioAwareAggregation(FEATURE, CODE, dim=16, heads=4, **options)


@pytest.mark.parametrize(
    "aggregation",
    [MeanAggregation(FEATURE), SlotAggregation(FEATURE, PLACE), attention()],
    ids=["mean", "slots", "audio"],
)
def test_each_point_gets_its_own_answer_from_its_own_references(aggregation: Aggregation) -> None:
    """One softmax over all points, as AE-NeRF's shapes read literally, would give all of them the same."""
    given = inputs()
    blended = aggregation(**given)
    assert blended.shape == (POINTS, aggregation.output_dim)
    assert float(blended.std(dim=0).min()) > 1e-3
    given["features"][1:] = 0
    torch.testing.assert_close(aggregation(**given)[0], blended[0])


@pytest.mark.parametrize("aggregation", [MeanAggregation(FEATURE), SlotAggregation(FEATURE, PLACE), attention()])
def test_the_order_of_the_references_does_not_matter(aggregation: Aggregation) -> None:
    given, order = inputs(), torch.tensor([2, 0, 3, 1])
    expected = aggregation(**given)
    for name in ("features", "pixels"):
        given[name] = given[name][:, order]
    given["reference_codes"] = given["reference_codes"][order]
    torch.testing.assert_close(aggregation(**given), expected, atol=1e-5, rtol=1e-5)


def test_sound_reaches_only_the_attention_that_is_told_it() -> None:
    for aggregation, listens in ((MeanAggregation(FEATURE), False), (SlotAggregation(FEATURE, PLACE), False)):
        given = inputs()
        before = aggregation(**given)
        given["code"] = torch.randn(1, CODE)
        assert torch.equal(aggregation(**given), before) is not listens
    given = inputs()
    before = attention()(**given)
    given["code"] = torch.randn(1, CODE)
    assert not torch.equal(attention()(**given), before)


def test_untrained_attention_prefers_references_that_sound_alike() -> None:
    aggregation = attention()
    similar, weights = [], []
    for seed in range(200):
        given = inputs(seed)
        codes = given["reference_codes"]
        similar.append(torch.cosine_similarity(given["code"], codes))
        weights.append(aggregation.frame_weights(given["code"], codes)[0])
    correlation = spearmanr(torch.cat(similar).numpy(), torch.cat(weights).detach().numpy()).statistic
    assert correlation > 0.35


def test_what_all_sounds_have_in_common_does_not_choose_the_reference() -> None:
    """Codes of one voice lie close together, far from zero."""
    likeness: dict[bool, list[Tensor]] = {True: [], False: []}
    for contrast, found in likeness.items():
        aggregation = attention(contrast=contrast)
        for seed in range(200):
            given = inputs(seed)
            common = 5 * torch.randn(1, CODE, generator=torch.Generator().manual_seed(7))
            code, codes = common + 0.3 * given["code"], common + 0.3 * given["reference_codes"]
            middle = codes.mean(dim=0)
            wanted = torch.cosine_similarity(code - middle, codes - middle)
            weights = aggregation.frame_weights(code, codes)[0].detach()
            found.append(torch.stack([wanted.argsort().argsort(), weights.argsort().argsort()]))
    correlation = {key: float(spearmanr(*torch.cat(found, dim=1).numpy()).statistic) for key, found in likeness.items()}
    assert correlation[True] > 0.35
    assert abs(correlation[False]) < 0.15


def test_without_the_first_residual_sound_acts_through_the_choice_of_references_alone() -> None:
    """Where all references are the same picture, there is no choice."""
    given = inputs()
    given["features"] = given["features"][:, :1].expand(-1, REFERENCES, -1)
    other = given | {"code": torch.randn(1, CODE)}
    without = attention(residual_first=False)
    torch.testing.assert_close(without(**given), without(**other), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(attention()(**given), attention()(**other), atol=1e-3)


def test_frames_of_one_batch_are_asked_for_with_their_own_sound() -> None:
    given = inputs(frames=2)
    blended = attention()(**given)
    alone = given | {"code": given["code"][1:], "frame_row": torch.zeros(POINTS, dtype=torch.long)}
    torch.testing.assert_close(attention()(**alone)[1::2], blended[1::2])


def test_heads_that_do_not_divide_the_channels_are_refused() -> None:
    with pytest.raises(ValueError, match="5 heads do not divide 16 channels"):
        AudioAwareAggregation(FEATURE, CODE, dim=16, heads=5)
