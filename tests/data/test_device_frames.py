"""Frames that stay on a device are the frames of the files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from portraits import write_tiny_portrait

from ns_talking.data import portrait_datamanager
from ns_talking.data.device_frames import DeviceFrames, fit_on_gpu
from ns_talking.data.portrait_datamanager import PortraitDataManager, PortraitDataManagerConfig
from ns_talking.dataparsers.portrait import TalkingPortraitDataParserConfig


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_portrait(tmp_path_factory.mktemp("portrait"), num_frames=12, size=32)


def manager(folder: Path, **settings: object) -> PortraitDataManager:
    config = PortraitDataManagerConfig(
        data=folder, dataparser=TalkingPortraitDataParserConfig(), train_num_rays_per_batch=200, seed=0
    )
    return replace(config, **settings).setup(device="cpu")


@pytest.mark.parametrize("phase", ["head", "lips", "torso"])
def test_batches_from_the_device_are_those_from_the_host(
    folder: Path, phase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from_host = manager(folder)
    monkeypatch.setattr(portrait_datamanager, "fit_on_gpu", lambda *_: True)
    from_device = manager(folder)
    from_host.phase = from_device.phase = phase
    for step in range(3):
        (wanted_rays, wanted), (rays, found) = from_host.next_train(step), from_device.next_train(step)
        for name, value in wanted.items():
            assert torch.equal(torch.as_tensor(found[name]), torch.as_tensor(value)), name
        for name, value in wanted_rays.metadata.items():
            assert torch.equal(rays.metadata[name], value), name


def test_a_frame_is_copied_once(folder: Path) -> None:
    dataset = manager(folder).train_dataset
    frames = DeviceFrames(dataset, "cpu")
    indices = torch.tensor([[1, 3, 4], [1, 0, 0], [5, 31, 31]])
    assert frames.missing([1, 5]) == [1, 5]
    packed, background = frames.pixels([1, 5], indices)
    assert frames.missing([1, 5, 2]) == [2]
    for row, (frame, y, x) in enumerate(indices.tolist()):
        assert packed[row].tolist() == dataset.frame(frame).packed[y, x].tolist()
        assert background[row].tolist() == dataset.background[y, x].tolist()


def test_frames_stay_on_the_gpu_where_all_of_them_fit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = manager(folder).train_dataset
    num_bytes = len(dataset) * 32 * 32 * 8
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (2 * num_bytes, 4 * num_bytes))
    assert fit_on_gpu(dataset, "cuda:0", 0.5)
    assert not fit_on_gpu(dataset, "cuda:0", 0.49)
    assert not fit_on_gpu(dataset, "cuda:0", 0.0)
    assert not fit_on_gpu(dataset, "cpu", 0.5)


def test_rays_carry_their_times_in_the_hosts_memory(folder: Path) -> None:
    rays, _ = manager(folder).next_train(0)
    assert rays.metadata["host_times"].device.type == "cpu"
    assert torch.equal(rays.metadata["host_times"], rays.times)
