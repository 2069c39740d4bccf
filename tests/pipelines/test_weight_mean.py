"""The mean of the last parameters takes their place once, weighs later ones more, and goes on after an interruption."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ns_talking.pipelines.weight_mean import WeightMean, averaged_parameters


def _walked(mean: WeightMean, parameter: torch.Tensor, begin: int, end: int) -> list[float]:
    """Move a parameter by noise around 1, as a training without decay would."""
    values = []
    for step in range(begin, end):
        parameter.fill_(1 + np.random.default_rng(step).normal())
        mean.after(step)
        values.append(float(parameter[0]))
    return values


def test_the_mean_is_nearer_to_what_noise_hides() -> None:
    errors = []
    for horizon in (5.0, 100.0):
        parameter = torch.zeros(3)
        values = _walked(WeightMean({"a": parameter}, horizon, 1000), parameter, 0, 1000)
        errors.append(abs(values[-1] - 1))
        assert parameter.std() == 0
    assert errors[1] < 0.35 < errors[0]


def test_weights_fall_to_1_e_within_the_horizon_and_the_first_looks_count_alike() -> None:
    horizon, end = 50, 400
    weights = []
    for at in (end - 1, end - 1 - horizon, 0):
        parameter = torch.zeros(1)
        mean = WeightMean({"a": parameter}, float(horizon), end)
        for step in range(end):
            parameter.fill_(1.0 if abs(step - at) < 5 else 0.0)
            mean.after(step)
        weights.append(float(parameter[0]))
    # One of the looks, every five iterations, meets the nine iterations around each of these.
    assert weights[0] == pytest.approx(0.1, rel=0.01)
    assert weights[1] / weights[0] == pytest.approx(np.exp(-1), rel=0.1)
    assert weights[2] == 0


def test_nothing_changes_before_the_end_after_it_and_where_it_is_off() -> None:
    parameter = torch.zeros(2)
    mean = WeightMean({"a": parameter}, 10.0, 60)
    assert _walked(mean, parameter, 0, 59) == [
        pytest.approx(1 + np.random.default_rng(step).normal()) for step in range(59)
    ]
    _walked(mean, parameter, 59, 60)
    assert mean.state_dict() == {}
    parameter.fill_(7.0)
    for step in range(60, 90):
        mean.after(step)
    assert parameter.tolist() == [7.0, 7.0] and mean.state_dict() == {}
    off = WeightMean({"a": parameter}, 0.0, 0)
    off.after(0)
    assert parameter.tolist() == [7.0, 7.0] and off.state_dict() == {}


def test_an_interrupted_mean_ends_with_the_same_bits() -> None:
    whole, halved = torch.zeros(4), torch.zeros(4)
    _walked(WeightMean({"a": whole}, 30.0, 200), whole, 0, 200)
    first = WeightMean({"a": halved}, 30.0, 200)
    _walked(first, halved, 0, 147)
    again = torch.zeros(4)
    second = WeightMean({"a": again}, 30.0, 200)
    second.load_state_dict(first.state_dict())
    _walked(second, again, 147, 200)
    assert torch.equal(again, whole)


def test_the_state_of_other_parameters_is_left_out() -> None:
    mean = WeightMean({"a": torch.zeros(1)}, 30.0, 200)
    mean.load_state_dict({"count": 3, "mean": {"b": torch.ones(1)}})
    assert mean.state_dict() == {}


def test_groups_are_left_out_by_name() -> None:
    groups = {"planes": [torch.zeros(1)], "decoders": [torch.zeros(1), torch.ones(1)], "torso": [torch.zeros(2)]}
    assert list(averaged_parameters(groups, without=("torso",))) == ["planes.0", "decoders.0", "decoders.1"]
