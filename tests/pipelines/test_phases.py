"""Phases are a function of the step."""

from __future__ import annotations

import pytest

from ns_talking.pipelines.phases import PhasesConfig
from ns_talking.pipelines.schedules import PhaseDecay, PhaseDecayConfig


def test_phases_follow_each_other_and_the_last_one_never_ends() -> None:
    phases = PhasesConfig(head=5, lips=3, torso=2)
    names = [phases.at(step).name for step in range(12)]
    assert names == ["head"] * 5 + ["lips"] * 3 + ["torso"] * 4


def test_progress_runs_from_0_to_1_within_a_phase() -> None:
    phases = PhasesConfig(head=4, lips=0, torso=2)
    assert [phases.at(step).progress for step in range(4)] == [0, 0.25, 0.5, 0.75]
    assert phases.at(4).progress == 0
    assert phases.at(100).progress == 1


def test_growing_losses_go_on_from_four_fifths_in_the_lips_phase() -> None:
    phases = PhasesConfig(head=4, lips=2, torso=2)
    assert [phases.at(step).strength for step in range(6)] == pytest.approx([0, 0.25, 0.5, 0.75, 0.8, 0.9])


@pytest.mark.parametrize("total", [3, 10, 777, 1_000_000])
def test_stretched_phases_fill_the_run_and_none_vanishes(total: int) -> None:
    phases = PhasesConfig(head=100, lips=5, torso=20).stretched(total)
    assert phases.total == total
    assert min(phases.head, phases.lips, phases.torso) >= 1


def test_a_phase_that_is_switched_off_stays_off() -> None:
    phases = PhasesConfig(head=100, lips=0, torso=0).stretched(50)
    assert (phases.head, phases.lips, phases.torso) == (50, 0, 0)
    assert phases.at(1000).name == "head"


def test_a_run_too_short_for_its_phases_is_refused() -> None:
    with pytest.raises(ValueError, match="no room for three phases"):
        PhasesConfig().stretched(2)


def test_phases_without_steps_are_refused() -> None:
    with pytest.raises(ValueError, match="All phases have 0 steps"):
        PhasesConfig(head=0, lips=0, torso=0)
    with pytest.raises(ValueError, match="has -1 steps"):
        PhasesConfig(lips=-1)


def test_learning_rate_decays_within_each_phase_as_in_the_released_training() -> None:
    config = PhaseDecayConfig(phases=PhasesConfig(head=100_000, lips=25_000, torso=200_000))
    factor = PhaseDecay(config).factor
    assert factor(0) == 1
    assert factor(50_000) == pytest.approx(0.5**0.5)
    assert factor(100_000) == pytest.approx(0.05 ** (100_000 / 125_000), rel=1e-2)
    assert factor(125_000 - 1) == pytest.approx(0.05, rel=1e-3)
    assert factor(125_000) == 1
    assert factor(325_000) == pytest.approx(0.5)
    assert type(factor(7)) is float
