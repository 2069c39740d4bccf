"""Laws of the search for points of the head, which must end."""

from __future__ import annotations

import pytest
import torch
from nerfstudio.data.scene_box import OrientedBox

from ns_talking.methods.point_cloud import PointCloudSource, watch_crops


def batch(seed: int = 0) -> torch.Tensor:
    """Points of a head, in a cube of one unit."""
    return torch.rand(4096, 3, generator=torch.Generator().manual_seed(seed)) - 0.5


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OrientedBox, "within", OrientedBox.within)
    PointCloudSource().points(torch.ones(1, 3), torch.ones(1, 1))  # As the exporter begins.


def test_a_box_beside_the_head_ends_the_search_and_tells_where_the_head_is(watched: None) -> None:
    box = OrientedBox.from_params((9.0, 9.0, 9.0), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    for seed in range(7):
        assert not box.within(batch(seed)).any()
    with pytest.raises(ValueError, match=r"Only 0 of 32768 points .* from \(-0.50 -0.50 -0.50\) to \(0.50 0.50 0.50\)"):
        box.within(batch(7))


def test_a_box_around_a_part_of_the_head_crops_as_before(watched: None) -> None:
    box = OrientedBox.from_params((0.4, 0.0, 0.0), (0.0, 0.0, 0.3), (0.2, 0.2, 0.2))
    plain = OrientedBox.from_params((0.4, 0.0, 0.0), (0.0, 0.0, 0.3), (0.2, 0.2, 0.2))
    watch_crops()  # Once is enough.
    for seed in range(20):
        inside = box.within(batch(seed))
        turned = (batch(seed) - plain.T) @ plain.R.to(torch.float32)
        assert 0 < inside.float().mean() < 0.05
        assert torch.equal(inside, (turned.abs() < 0.1).all(dim=-1))


def test_batches_that_are_empty_do_not_blame_the_box(watched: None) -> None:
    box = OrientedBox.from_params((9.0, 9.0, 9.0), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    for _ in range(20):
        assert len(box.within(torch.empty(0, 3))) == 0


def test_a_transparent_head_ends_the_search(watched: None) -> None:
    source = PointCloudSource()
    for _ in range(7):
        source.points(torch.zeros(64, 3), torch.full((64, 1), 0.4))
    with pytest.raises(ValueError, match=r"Only 0 of 512 rays .* \(at most 0.40\)"):
        source.points(torch.zeros(64, 3), torch.full((64, 1), 0.4))
