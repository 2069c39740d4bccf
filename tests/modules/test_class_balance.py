"""Means of losses per class: unbiased, smooth, told by a schedule, and kept in the checkpoint."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ns_talking.data.ray_allocation import allocate_rays
from ns_talking.modules.class_balance import ClassBalance, ClassBalanceConfig


def balance(**options: float) -> ClassBalance:
    return ClassBalance(ClassBalanceConfig(**options), num_classes=4)


def test_the_mean_of_a_class_does_not_depend_on_how_many_of_its_rays_are_drawn() -> None:
    few, many = balance(), balance()
    few.observe(torch.tensor([1.0, 3.0]), torch.tensor([0, 2]))
    many.observe(torch.tensor([1.0, *[3.0] * 9]), torch.tensor([0, *[2] * 9]))
    torch.testing.assert_close(few.means, many.means)
    torch.testing.assert_close(few.means, torch.tensor([1.0, 0.0, 3.0, 0.0]))


def test_a_class_without_rays_keeps_its_mean_and_a_worse_one_rises_slowly() -> None:
    module = balance(momentum=0.9)
    for _ in range(20):
        module.observe(torch.tensor([1.0, 2.0]), torch.tensor([0, 1]))
    for _ in range(5):
        module.observe(torch.tensor([5.0]), torch.tensor([0]))
    assert 1.5 < float(module.means[0]) < 4.0
    torch.testing.assert_close(module.means[1], torch.tensor(2.0))
    for _ in range(100):
        module.observe(torch.tensor([1.0]), torch.tensor([0]))
    assert float(module.means[0]) < 1.01


def test_a_class_that_is_wrong_for_a_while_gets_more_rays_and_then_as_many_as_before() -> None:
    module = balance(momentum=0.97, warm_up=25, interval=25)
    usual, available = torch.tensor([1.0, 1.0, 2.0, 4.0]), np.full((1, 4), 10_000)
    shares = []
    for step in range(400):
        module.tell(step)
        if module.known is not None:
            counts = allocate_rays(module.known, available, np.array([1_000]), floor=0.02, cap=0.9)
            shares.append(int(counts[0, 1]))
        wrong = 150 <= step < 225
        module.observe(usual * torch.tensor([1.0, 3.0 if wrong else 1.0, 1.0, 1.0]), torch.arange(4))
    before, after = shares[150 - 25], shares[-1]
    assert before == pytest.approx(125, abs=1)
    assert max(shares) > 2 * before
    assert shares.index(max(shares)) + 25 == 225
    assert after == pytest.approx(before, abs=3)


def test_losses_are_told_by_the_schedule_alone() -> None:
    module = balance(warm_up=10, interval=5)
    module.observe(torch.tensor([1.0, 2.0]), torch.tensor([0, 1]))
    for step in range(10):
        module.tell(step)
        assert module.known is None
    module.tell(10)
    np.testing.assert_allclose(module.known, [1, 2, 0, 0])
    module.observe(torch.tensor([9.0]), torch.tensor([0]))
    module.tell(14)
    np.testing.assert_allclose(module.known, [1, 2, 0, 0])
    module.tell(15)
    assert module.known is not None and module.known[0] > 1


def test_a_checkpoint_brings_back_what_was_told() -> None:
    first, resumed = balance(warm_up=0, interval=1), balance(warm_up=0, interval=1)
    first.observe(torch.tensor([1.0, 2.0]), torch.tensor([0, 1]))
    first.tell(0)
    assert resumed.known is None
    resumed.load_state_dict(first.state_dict())
    np.testing.assert_array_equal(resumed.known, first.known)
