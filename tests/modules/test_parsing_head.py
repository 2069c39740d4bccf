"""Where nothing is, the background is seen; where a sample is opaque, its own class."""

from __future__ import annotations

import torch

from ns_talking.modules.parsing_head import ParsingHead


def test_the_background_lies_behind_what_is_rendered() -> None:
    head = ParsingHead(geometry_dim=8, num_classes=5)
    composited = torch.tensor([[0.0] * 5, [0, 0, 3.0, 0, 0]])
    logits = head.over_background(composited, torch.tensor([[0.0], [1.0]]))
    assert logits.argmax(dim=1).tolist() == [0, 2]
    torch.testing.assert_close(logits[1], composited[1])


def test_every_sample_has_a_logit_per_class() -> None:
    assert ParsingHead(8, 5)(torch.randn(7, 8)).shape == (7, 5)
