"""A lattice begins at rest, moves what lies between its vertices, and only what the head can reach."""

from __future__ import annotations

import pytest
import torch

from ns_talking.fields.base import FieldCondition
from ns_talking.fields.motion_lattice import LatticeField, MotionLattice, MotionLatticeConfig, interpolated
from ns_talking.fields.triplane import TriplaneField, TriplaneFieldConfig

BOUNDS = torch.tensor([[-1.0, -0.8, -1.0], [1.0, 0.55, 1.0]])
SIZE = (5, 3, 4)


def lattice() -> MotionLattice:
    torch.manual_seed(0)
    config = MotionLatticeConfig(resolution=SIZE, token_dim=16, num_audio_tokens=2, span="head")
    return MotionLattice(config, feature_dim=6, code_dim=4, bounds=BOUNDS)


def stirred() -> MotionLattice:
    motion = lattice()
    torch.nn.init.normal_(motion.offset[1].weight)
    return motion


def test_a_lattice_is_read_at_its_vertices_each_frame_its_own() -> None:
    values = torch.randn(2, 3, *SIZE)
    axes = [torch.linspace(0, 1, count) for count in SIZE]
    vertices = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).view(-1, 3)
    for frame in range(2):
        row = torch.full((len(vertices),), frame)
        torch.testing.assert_close(interpolated(values, vertices, row), values[frame].flatten(1).t(), atol=1e-4, rtol=0)


def test_between_vertices_a_lattice_is_trilinear_and_beyond_them_constant() -> None:
    ramp = torch.stack(torch.meshgrid(*(torch.linspace(0, 1, n) for n in SIZE), indexing="ij"))[None]
    points = torch.rand(50, 3) * 1.4 - 0.2
    row = torch.zeros(50, dtype=torch.long)
    torch.testing.assert_close(interpolated(ramp, points, row), points.clamp(0, 1), atol=1e-5, rtol=0)


def test_a_fresh_lattice_moves_nothing() -> None:
    offsets = lattice()(torch.randn(60, 6), torch.randn(2, 4), torch.rand(2))
    assert offsets.shape == (2, 3, *SIZE)
    assert float(offsets.detach().abs().max()) == 0


def test_sound_and_blink_move_a_trained_lattice_no_further_than_allowed() -> None:
    motion, features, code = stirred(), torch.randn(60, 6), torch.randn(1, 4)
    still = motion(features, code, torch.zeros(1)).detach()
    assert 0 < float(still.abs().max()) < 1.001 * motion.config.max_offset
    assert not torch.equal(motion(features, torch.randn(1, 4), torch.zeros(1)), still)
    assert not torch.equal(motion(features, code, torch.ones(1)), still)


def test_one_region_hears_of_another() -> None:
    motion, features = stirred(), torch.randn(60, 6)
    before = motion(features, torch.zeros(1, 4), torch.zeros(1)).detach()
    features[0] += 1
    after = motion(features, torch.zeros(1, 4), torch.zeros(1)).detach()
    assert not torch.equal(after[..., -1, -1, -1], before[..., -1, -1, -1])


def test_vertices_far_from_the_head_move_nothing() -> None:
    motion = stirred()
    occupied = torch.zeros(16, 16, 16, dtype=torch.bool)
    occupied[8, 8, 8] = True
    motion.restrict(occupied, BOUNDS)
    active = motion.active.view(SIZE)
    assert 8 <= int(active.sum()) < 30
    offsets = motion(torch.randn(int(active.sum()), 6), torch.randn(1, 4), torch.rand(1)).detach()[0]
    assert bool((offsets[:, ~active] == 0).all())
    assert bool((offsets[:, active] != 0).any())


def test_a_lattice_that_points_one_way_shows_the_field_shifted() -> None:
    torch.manual_seed(0)
    field = TriplaneField(TriplaneFieldConfig(num_levels=2, log2_table_size=8), code_dim=4, appearance_dim=0)
    torch.nn.init.normal_(field.planes)
    offset = torch.tensor([0.1, -0.05, 0.02])
    moved = LatticeField(field, offset.view(1, 3, 1, 1, 1).expand(1, 3, *SIZE), BOUNDS)
    points = torch.rand(20, 3) - 0.5
    condition = FieldCondition(torch.randn(1, 4), torch.zeros(1), torch.zeros(20, dtype=torch.long))
    found, expected = moved.density(points, condition), field.density(points + offset, condition)
    torch.testing.assert_close(found.density, expected.density)
    torch.testing.assert_close(found.shift, offset.norm().expand(20), atol=1e-5, rtol=0)
    assert float(moved.roughness()) == 0


def test_neighbours_that_move_apart_are_rough() -> None:
    field = TriplaneField(TriplaneFieldConfig(num_levels=1, log2_table_size=8), code_dim=4, appearance_dim=0)
    values = torch.zeros(1, 3, *SIZE)
    values[0, 0, 2] = 0.1
    assert float(LatticeField(field, values, BOUNDS).roughness()) > 0


def over_face(resolution: tuple[int, int, int] = (6, 5, 6)) -> MotionLattice:
    torch.manual_seed(0)
    config = MotionLatticeConfig(resolution=resolution, token_dim=16, num_audio_tokens=2)
    motion = MotionLattice(config, feature_dim=6, code_dim=4, bounds=BOUNDS)
    motion.surround(torch.tensor([[-0.3, -0.5, -0.5], [0.3, -0.1, 0.2]]))
    torch.nn.init.normal_(motion.offset[1].weight)
    return motion


def test_a_lattice_over_the_face_has_room_for_the_jaw_and_stays_in_the_head() -> None:
    box = torch.tensor([[-0.45, -0.65, -0.8], [0.45, 0.05, 0.35]])
    torch.testing.assert_close(over_face().bounds, box)
    torch.testing.assert_close(over_face().places[[0, -1]], box)
    motion = MotionLattice(over_face().config, feature_dim=6, code_dim=4, bounds=BOUNDS)
    motion.surround(torch.tensor([[-9.0, -9.0, -9.0], [9.0, 9.0, 9.0]]))
    torch.testing.assert_close(motion.bounds, BOUNDS)


def test_nothing_tears_where_the_lattice_ends() -> None:
    motion = over_face()
    motion.restrict(torch.ones(8, 8, 8, dtype=torch.bool), BOUNDS)
    assert int(motion.active.sum()) == 4 * 3 * 4
    offsets = motion(torch.randn(48, 6), torch.randn(1, 4), torch.rand(1)).detach()
    assert float(offsets.abs().max()) > 0
    low, high = motion.bounds
    around = torch.cat([low - 0.1 * torch.rand(20, 3), high + 0.1 * torch.rand(20, 3)])
    found = interpolated(offsets, (around - low) / (high - low), torch.zeros(40, dtype=torch.long))
    torch.testing.assert_close(found, torch.zeros(40, 3))


def test_a_small_part_of_the_head_is_found_wherever_it_lies() -> None:
    motion, parts = over_face(), 32
    occupied = torch.zeros(parts, parts, parts, dtype=torch.bool)
    occupied[16, 12, 8] = True
    motion.restrict(occupied, BOUNDS)
    centre = BOUNDS[0] + (torch.tensor([16, 12, 8]) + 0.5) / parts * (BOUNDS[1] - BOUNDS[0])
    nearest = (motion.places - centre).norm(dim=1).argmin()
    assert bool(motion.active[nearest]) and int(motion.active.sum()) <= 18


def test_a_checkpoint_knows_where_its_face_was() -> None:
    trained = over_face()
    fresh = MotionLattice(trained.config, feature_dim=6, code_dim=4, bounds=BOUNDS)
    fresh.load_state_dict(trained.state_dict())
    torch.testing.assert_close(fresh.places, trained.places)
    assert "bounds" not in lattice().state_dict()  # Those of version 0.1.0 span the head, and need not say so.


def test_configs_of_the_first_version_span_the_head() -> None:
    config = MotionLatticeConfig()
    state = {name: value for name, value in vars(config).items() if name not in ("span", "margin", "jaw_room")}
    old = MotionLatticeConfig.__new__(MotionLatticeConfig)
    old.__setstate__(state)
    assert (old.span, config.span) == ("head", "face")


def test_a_lattice_needs_vertices_inside() -> None:
    with pytest.raises(ValueError, match="has none inside, and those on its surface do not move"):
        over_face((4, 2, 4))
