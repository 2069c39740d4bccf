"""The occupancy grid remembers what was dense under any sound, inside the head's visual hull."""

from __future__ import annotations

import torch
from host_waits import waits_of
from torch import Tensor

from ns_talking.rendering.occupancy import OccupancyGrid, OccupancyGridConfig

BOUNDS = torch.tensor([[-1.0, -0.8, -1.0], [1.0, 0.55, 1.0]])


def grid(**options: int) -> OccupancyGrid:
    return OccupancyGrid(OccupancyGridConfig(resolution=16, update_interval=1, **options), BOUNDS)


def ball(positions: Tensor) -> Tensor:
    return 50.0 * (positions.norm(dim=1) < 0.4).float()


def test_cells_lie_evenly_in_the_box() -> None:
    occupancy = grid()
    centres = occupancy.cell_centres(torch.arange(16**3)).view(16, 16, 16, 3)
    torch.testing.assert_close(centres[0, 0, 0], BOUNDS[0] + (BOUNDS[1] - BOUNDS[0]) / 32)
    torch.testing.assert_close(centres[-1, -1, -1], BOUNDS[1] - (BOUNDS[1] - BOUNDS[0]) / 32)
    assert bool((centres[1, 0, 0] > centres[0, 0, 0])[0])


def test_what_is_dense_is_occupied_and_what_is_far_from_it_is_not() -> None:
    occupancy = grid()
    for step in range(3):
        occupancy.update(ball, step)
    centres = occupancy.cell_centres(torch.arange(16**3))
    occupied = occupancy.occupied.view(-1)
    assert bool(occupied[centres.norm(dim=1) < 0.3].all())
    assert not bool(occupied[centres.norm(dim=1) > 0.75].any())


def test_what_one_sound_opened_stays_occupied_under_the_next() -> None:
    occupancy = grid()
    occupancy.update(ball, 0)
    occupancy.update(lambda positions: torch.zeros(len(positions)), 1)
    assert bool(occupancy.occupied.view(-1)[occupancy.cell_centres(torch.arange(16**3)).norm(dim=1) < 0.3].all())


def test_an_update_in_parts_reaches_every_cell() -> None:
    occupancy = grid(update_parts=4)
    seen: list[int] = []

    def count(positions: Tensor) -> Tensor:
        seen.append(len(positions))
        return ball(positions)

    for step in range(4):
        occupancy.update(count, step)
    assert sum(seen) == 16**3
    whole = grid()
    whole.update(ball, 0)
    middle = occupancy.cell_centres(torch.arange(16**3)).norm(dim=1) < 0.3
    assert bool(occupancy.occupied.view(-1)[middle].all())


def test_four_refreshes_in_quarters_find_what_a_whole_one_finds() -> None:
    quarters, whole = grid(update_parts=4), grid()
    # The same everywhere inside a cell, so that the random places in it do not matter.
    size = (BOUNDS[1] - BOUNDS[0]) / 16

    def blocks(positions: Tensor) -> Tensor:
        return ball(BOUNDS[0] + (((positions - BOUNDS[0]) / size).floor() + 0.5) * size)

    for cycle in range(3):
        whole.update(blocks, cycle)
        for turn in range(4):
            quarters.update(blocks, 4 * cycle + turn)
        assert torch.equal(quarters.occupied, whole.occupied) and 0 < int(whole.occupied.sum()) < 16**3
        # A neighbour's value may have decayed once more, before its cell was evaluated itself.
        assert bool((quarters.density <= whole.density).all())
        assert bool((quarters.density >= 0.95 * whole.density - 1e-6).all())


def test_an_update_waits_for_no_gpu_after_the_first_of_its_part() -> None:
    occupancy = grid(update_parts=2)
    occupancy.forbid(torch.arange(16**3) % 3 == 0)
    for step in range(2):
        occupancy.update(ball, step)
    assert waits_of(lambda: occupancy.update(ball, 2)) == {}
    # Cells that are forbidden later, or loaded, are noticed.
    occupancy.forbid(torch.arange(16**3) % 5 == 0)
    assert waits_of(lambda: occupancy.update(ball, 2)) == {"index": 1}
    occupancy.load_state_dict(grid().state_dict())
    occupancy.update(lambda positions: torch.full((len(positions),), 99.0), 2)
    assert bool(occupancy.occupied.view(-1)[::2].all())


def test_the_same_step_updates_alike() -> None:
    first, second = grid(), grid()
    first.update(ball, 5)
    second.update(ball, 5)
    assert torch.equal(first.density, second.density)


def test_outside_the_visual_hull_nothing_is_ever_occupied() -> None:
    occupancy = grid()
    size, focal = 32, 2.0
    axis = (torch.arange(size) + 0.5) / size * 2 - 1
    mask = axis[:, None].square() + axis.square() < 0.3**2
    # A camera in front of the face, which looks along +y.
    front = torch.tensor([[1.0, 0, 0, 0], [0, 0, -1, -3.3], [0, 1, 0, 0]])
    occupancy.forbid(~occupancy.hull(mask[None], front[None], focal, min_share=0.9))
    occupancy.update(lambda positions: torch.full((len(positions),), 99.0), 0)
    centres = occupancy.cell_centres(torch.arange(16**3))
    aside = centres[:, 0].square() + centres[:, 2].square()
    occupied = occupancy.occupied.view(-1)
    assert bool(occupied[aside < 0.1**2].all())
    # Nothing is known beyond the image's edge, which lies at 0.6 near the camera and is dilated by a cell.
    assert not bool(occupied[(aside > 0.42**2) & (aside < 0.5**2)].any())


def test_forbidden_cells_are_never_occupied_again() -> None:
    occupancy = grid()
    forbidden = torch.arange(16**3) % 3 == 0
    occupancy.forbid(forbidden)
    occupancy.update(lambda positions: torch.full((len(positions),), 99.0), 0)
    assert not bool(occupancy.occupied.view(-1)[forbidden].any())
    assert bool(occupancy.occupied.view(-1)[~forbidden].any())


def test_a_silhouette_goes_on_beyond_the_edge_or_all_beyond_the_edge_counts() -> None:
    occupancy = grid()
    left = torch.zeros(32, 32, dtype=torch.bool)
    left[:, :16] = True
    front = torch.tensor([[1.0, 0, 0, 0], [0, 0, -1, -3.3], [0, 1, 0, 0]])
    masks, cameras = torch.stack([left, ~left, left]), front.expand(3, 3, 4)
    on_left = occupancy.cell_centres(torch.arange(16**3))[:, 0] < 0
    goes_on = occupancy.seen_in(masks, cameras, 2.0)
    assert bool((goes_on[on_left] == 2).all()) and bool((goes_on[~on_left] == 1).all())
    counts = occupancy.seen_in(masks, cameras, 2.0, beyond="counts")
    beyond = counts == 3
    assert 0 < int(beyond.sum()) < 16**3
    assert torch.equal(counts[~beyond], goes_on[~beyond])
