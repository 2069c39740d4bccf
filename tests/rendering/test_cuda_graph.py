"""Replaying recorded work gives what calling the function gives."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from ns_talking.rendering import cuda_graph
from ns_talking.rendering.cuda_graph import Replay


class Recorder:
    """Stands in for the recording, which needs a GPU: counts, and does the work when it is replayed."""

    def __init__(self) -> None:
        self.recorded = 0

    def __call__(
        self, function: Callable[..., tuple[Tensor, ...]], arguments: list[Tensor]
    ) -> Callable[[], tuple[Tensor, ...]]:
        self.recorded += 1
        outputs = function(*arguments)

        def run() -> tuple[Tensor, ...]:
            for output, fresh in zip(outputs, function(*arguments), strict=True):
                output.copy_(fresh)
            return outputs

        return run


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(cuda_graph, "record", recorder)
    monkeypatch.setattr(cuda_graph, "on_gpu", lambda _: True)
    return recorder


def test_a_recording_is_replayed_with_new_arguments_into_new_tensors(recorder: Recorder) -> None:
    replay = Replay(lambda a, b: (a + b, a * b), [])
    first, second = replay(torch.ones(3), torch.ones(3)), replay(2 * torch.ones(3), torch.ones(3))
    assert recorder.recorded == 1
    assert [float(value[0]) for value in (*first, *second)] == [2, 1, 3, 2]


def test_another_shape_or_other_parameters_are_recorded_anew(recorder: Recorder) -> None:
    layer = nn.Linear(3, 2, bias=False)
    replay = Replay(lambda x: (layer(x).detach(),), [layer])
    replay(torch.ones(1, 3))
    replay(torch.ones(4, 3))
    assert recorder.recorded == 2
    with torch.no_grad():
        layer.weight.zero_()
    assert not replay(torch.ones(4, 3))[0].any()
    assert recorder.recorded == 2
    layer.weight = nn.Parameter(torch.ones(2, 3))
    assert bool((replay(torch.ones(4, 3))[0] == 3).all())
    assert recorder.recorded == 3


def test_where_recording_fails_it_is_said_and_the_function_is_called(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(cuda_graph, "record", refuse)
    replay = Replay(lambda a: (a + 1,), [])
    for _ in range(2):
        assert replay(torch.ones(2))[0].tolist() == [2, 2]
    assert capsys.readouterr().out.count("without CUDA graphs") == 1


def test_without_a_gpu_the_function_is_called() -> None:
    assert Replay(lambda a: (a + 1,), [])(torch.ones(2))[0].tolist() == [2, 2]
