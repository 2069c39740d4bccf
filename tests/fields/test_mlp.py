"""AD-NeRF's network has its published size, and the sound reaches every point."""

from __future__ import annotations

import torch

from ns_talking.fields.base import ConditionedField, FieldCondition
from ns_talking.fields.mlp import MLPField, MLPFieldConfig


def test_the_trunk_has_the_published_width_and_hands_its_input_in_again() -> None:
    field = MLPField(MLPFieldConfig(), code_dim=64, appearance_dim=0)
    widths = [layer.in_features for layer in field.trunk]
    # 63 numbers of the place, 64 of the sound, 1 blink.
    assert widths == [128, 256, 256, 256, 256, 256 + 128, 256, 256]
    assert {layer.out_features for layer in field.trunk} == {256}


def test_sound_and_blink_change_what_a_point_shows() -> None:
    torch.manual_seed(0)
    field = MLPField(MLPFieldConfig(num_layers=6, geometry_dim=32), code_dim=4, appearance_dim=2)
    assert isinstance(field, ConditionedField)
    positions, row = torch.rand(8, 3), torch.tensor([0, 1] * 4)
    code, blink = torch.randn(2, 4), torch.tensor([0.0, 1.0])
    at = field.density(positions, FieldCondition(code, blink, row))
    louder = field.density(positions, FieldCondition(code + 1, blink, row))
    closed = field.density(positions, FieldCondition(code, 1 - blink, row))
    assert not torch.equal(at.density, louder.density) and not torch.equal(at.density, closed.density)
    colour = field.colour(at.geometry, torch.randn(8, 16), torch.zeros(8, 2), torch.arange(8))
    assert colour.shape == (8, 3) and bool(((colour >= 0) & (colour <= 1)).all())
