"""Where nothing is, the background is seen; where a sample is opaque, its own class."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ns_talking.modules.parsing_head import ParsingHead


def test_the_background_lies_behind_what_is_rendered() -> None:
    head = ParsingHead(geometry_dim=8, num_classes=5)
    composited = torch.tensor([[0.0] * 5, [0, 0, 3.0, 0, 0]])
    logits = head.over_background(composited, torch.tensor([[0.0], [1.0]]))
    assert logits.argmax(dim=1).tolist() == [0, 2]
    torch.testing.assert_close(logits[1], composited[1])


def test_every_sample_has_a_logit_per_class() -> None:
    assert ParsingHead(8, 5)(torch.randn(7, 8)).shape == (7, 5)


def test_places_tell_classes_apart_where_the_geometry_does_not() -> None:
    torch.manual_seed(0)
    head = ParsingHead(8, 2, place_octaves=4)
    geometry, place = torch.ones(256, 8), torch.rand(256, 3) * 2 - 1
    classes = (place[:, 0] * 8).sin().gt(0).long()
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-2)
    for _ in range(200):
        optimizer.zero_grad()
        F.cross_entropy(head(geometry, place), classes).backward()
        optimizer.step()
    assert float((head(geometry, place).argmax(dim=1) == classes).float().mean()) > 0.95
