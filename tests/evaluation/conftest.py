"""An untrained portrait of a tiny dataset, and a detector that needs no weights."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from types import TracebackType

import numpy as np
import pytest
from nerfstudio.engine.trainer import TrainerConfig
from portraits import write_tiny_portrait

from ns_talking.evaluation.protocol import Protocol, read_protocol
from ns_talking.evaluation.runner import Evaluated, Evaluation, Options
from ns_talking.methods.er_nerf import ERNeRFModelConfig, er_nerf
from ns_talking.modules.audio_code import AudioCodeConfig
from ns_talking.pipelines.portrait import PortraitPipeline
from ns_talking.process.landmark_detectors import Face
from ns_talking.rendering.occupancy import OccupancyGridConfig

NUM_TRAIN, NUM_TEST = 12, 8


class PaintedDetector:
    """Finds a face in every image, with lips open by the brightness of the image's lower half."""

    scheme = "ibug68"
    version = "painted"

    def __init__(self, models: Path | None = None) -> None:
        self.num_images = 0

    def __enter__(self) -> PaintedDetector:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def detect(self, image: np.ndarray) -> list[Face]:
        self.num_images += 1
        height, width = image.shape[:2]
        angle = np.linspace(0, 2 * np.pi, 68, endpoint=False)
        points = np.stack([width / 2 + 0.3 * width * np.cos(angle), height / 2 + 0.3 * height * np.sin(angle)], axis=1)
        opening = image[height // 2 :].mean() / 255
        points[[61, 62, 63], 1] = 0.6 * height
        points[[67, 66, 65], 1] = (0.6 + 0.2 * opening) * height
        return [Face(np.concatenate([points, np.zeros((68, 1))], axis=1).astype(np.float32))]


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluation") / "tiny"
    return write_tiny_portrait(folder, NUM_TRAIN + NUM_TEST, size=32, num_train=NUM_TRAIN)


@pytest.fixture(scope="session")
def config(dataset: Path) -> TrainerConfig:
    config = deepcopy(er_nerf.config)
    config.experiment_name, config.timestamp = "tiny", "now"
    datamanager = config.pipeline.datamanager
    datamanager.data, datamanager.working_size = dataset, None
    config.pipeline.model = ERNeRFModelConfig(
        audio_code=AudioCodeConfig(), occupancy=OccupancyGridConfig(resolution=16, update_interval=4)
    )
    return config


@pytest.fixture(scope="session")
def pipeline(config: TrainerConfig) -> PortraitPipeline:
    pipeline = deepcopy(config.pipeline).setup(device="cpu", test_mode="inference")
    assert isinstance(pipeline, PortraitPipeline)
    return pipeline


@pytest.fixture(scope="session")
def config_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a training would have left its config and its checkpoint."""
    folder = tmp_path_factory.mktemp("run") / "tiny" / "er-nerf" / "now"
    (folder / "nerfstudio_models").mkdir(parents=True)
    (folder / "nerfstudio_models" / "step-000000007.ckpt").write_bytes(b"weights")
    (folder / "config.yml").write_text("read by a patched loader")
    return folder / "config.yml"


@pytest.fixture
def no_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no file of weights be found."""
    monkeypatch.setenv("NS_TALKING_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("NS_TALKING_MODELS", raising=False)


@pytest.fixture
def evaluate(
    pipeline: PortraitPipeline, config: TrainerConfig, config_path: Path, tmp_path: Path, no_models: None
) -> Callable[..., Evaluated]:
    def run(
        protocol: Protocol | str = "quick", detector: PaintedDetector | None = None, **options: object
    ) -> Evaluated:
        chosen = read_protocol(protocol) if isinstance(protocol, str) else protocol
        merged = Options(**{"output": tmp_path / "evaluation", **options})
        return Evaluation(pipeline, config, config_path, chosen, detector or PaintedDetector(), merged).run()

    return run


@pytest.fixture
def make_detector() -> type[PaintedDetector]:
    """A detector that counts what it looks at."""
    return PaintedDetector
