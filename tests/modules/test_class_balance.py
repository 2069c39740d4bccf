"""Means of losses per class: unbiased, smooth, told by a schedule, and kept in the checkpoint."""

from __future__ import annotations

import numpy as np
import torch

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
