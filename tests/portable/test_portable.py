"""Laws of portable portraits: the same pixels anywhere, and nothing of a stranger's file is believed or executed."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from declared import METHODS
from methods.conftest import specification
from portraits import write_tiny_portrait
from safetensors.torch import load_file, save_file

from ns_talking.audio.io import write_wav
from ns_talking.data.subject import Subject, write_subject
from ns_talking.fields.torso_deformation import TorsoDeformationConfig
from ns_talking.pipelines.frames import clip_lens, render_frames
from ns_talking.pipelines.origin import portrait_origin
from ns_talking.pipelines.portrait import PortraitPipeline
from ns_talking.portable.layout import HEADER
from ns_talking.portable.opening import open_portrait
from ns_talking.portable.reading import read_portable
from ns_talking.portable.settings import settings_as_json, settings_from_json
from ns_talking.portable.writing import write_portrait
from ns_talking.rendering.occupancy import OccupancyGridConfig
from ns_talking.scripts.main import main
from ns_talking.utils.files import write_json

FEW_SHOT = ("dfrf", "ae-nerf", "ae-nerf-base")
SUBJECT = Subject("the one who films", "myself", "tests", "2026-08-31")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_tiny_portrait(tmp_path_factory.mktemp("portable") / "tiny", num_frames=22, size=32, unusable=(4,))
    write_subject(folder, SUBJECT)
    write_json(folder / "manifest.json", {"video": {"sha256": "ab" * 32}})
    return folder


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "speech.wav"
    write_wav(path, np.random.default_rng(0).uniform(-0.3, 0.3, 8000).astype(np.float32), 16000)
    return path


def pipeline_of(method: str, dataset: Path) -> PortraitPipeline:
    config = deepcopy(specification(method).config.pipeline)
    config.datamanager.data = dataset
    config.datamanager.working_size = 24
    if hasattr(config.model, "occupancy"):
        config.model = type(config.model)(occupancy=OccupancyGridConfig(resolution=16))
    pipeline = config.setup(device="cpu", test_mode="inference")
    generator = torch.Generator().manual_seed(0)
    for parameter in pipeline.parameters():
        torch.nn.init.normal_(parameter, std=0.2, generator=generator)
    if hasattr(pipeline.portrait_model, "occupancy"):
        pipeline.portrait_model.occupancy.occupied[:] = True
    return pipeline.eval()


def rendered(pipeline: PortraitPipeline, sound: Path) -> np.ndarray:
    track = pipeline.set_audio(sound)
    return np.stack(list(render_frames(pipeline, track, range(0, 12, 4), clip_lens(pipeline, None))))


@pytest.mark.parametrize("method", [name for name in METHODS if name not in FEW_SHOT])
def test_a_portrait_renders_the_same_pixels_without_its_dataset(
    method: str, dataset: Path, sound: Path, tmp_path: Path
) -> None:
    pipeline = pipeline_of(method, dataset)
    write_portrait(pipeline, method, tmp_path / "me.portrait")
    opened = open_portrait(tmp_path / "me.portrait")
    pictures = rendered(opened, sound)
    assert pictures.shape == (3, 24, 24, 3) and pictures.std() > 5
    assert np.array_equal(pictures, rendered(pipeline, sound))
    here, there = portrait_origin(pipeline), portrait_origin(opened)
    assert here.subject == there.subject and here.subject["who"] == SUBJECT.who
    same = ("weights", "tracked_clip", "training_clip", "audio")
    assert [here.hashes[name] for name in same] == [there.hashes[name] for name in same]


@pytest.mark.parametrize("method", ["dfrf", "ae-nerf"])
def test_a_few_shot_portrait_is_not_packed_and_says_why(method: str, dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"A portrait of {method} cannot be packed yet: .* reference pictures"):
        write_portrait(pipeline_of(method, dataset), method, tmp_path / "me.portrait")
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def packed(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("packed") / "me.portrait"
    write_portrait(pipeline_of("er-nerf", dataset), "er-nerf", path)
    return path


def facts_of(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(json.loads(content[8 : 8 + length])["__metadata__"][HEADER])


@pytest.fixture
def altered(packed: Path, tmp_path: Path) -> Callable[..., Path]:
    """Writes the file again with other facts or tensors."""

    def alter(facts: Callable[[dict[str, Any]], object] | None = None, **tensors: torch.Tensor | None) -> Path:
        content = facts_of(packed)
        if facts is not None:
            facts(content)
        kept = load_file(packed) | tensors
        path = tmp_path / "altered.portrait"
        save_file({k: v for k, v in kept.items() if v is not None}, path, {HEADER: json.dumps(content)})
        return path

    return alter


def test_the_file_holds_neither_frames_nor_speech_and_no_folder(packed: Path, dataset: Path) -> None:
    assert packed.stat().st_size < 8_000_000
    assert len(load_file(packed)["features"]) <= 64
    assert str(dataset.parent).encode() not in packed.read_bytes()


def test_unpacked_parts_have_names_of_our_own(packed: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["unpack", str(packed), "--output", str(tmp_path / "parts")])
    assert exit_.value.code == 0
    assert sorted(path.name for path in (tmp_path / "parts").iterdir()) == [
        "background.png", "blink.npy", "eyes.npy", "features.npy", "frames.npy", "has_face.npy", "head_poses.npy",
        "held_out.npy", "portrait.json", "thumbnail.png", "weights.safetensors",
    ]  # fmt: skip
    file = read_portable(packed)
    assert np.array_equal(cv2.imread(str(tmp_path / "parts/background.png"))[..., ::-1], file.tracks["background"])
    assert json.loads((tmp_path / "parts/portrait.json").read_text())["method"] == "er-nerf"
    with pytest.raises(SystemExit):
        main(["unpack", str(packed), "--output", str(tmp_path / "parts")])


def archive(bomb: bool) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as content:
        content.writestr("../../evil.py" if not bomb else "zeros", b"\0" * (50_000_000 if bomb else 10))
    return file.getvalue()


def checkpoint() -> bytes:
    file = io.BytesIO()
    torch.save({"pipeline": {}}, file)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (archive(bomb=True), "a zip archive"),
        (archive(bomb=False), "a zip archive"),
        (checkpoint(), "as PyTorch's checkpoints are"),
        (pickle.dumps(print), "a Python pickle, which could execute code"),
        (b"!!python/object/apply:os.system ['id']", "config.yml with Python objects"),
        (b"", "has 0 bytes"),
        (b"hello, portrait", "begins with"),
        (struct.pack("<Q", 1 << 62) + b"{}", "claims a header of 4611686018427387904 bytes"),
        (struct.pack("<Q", 2) + b"{}", "no portrait"),
        (struct.pack("<Q", 9) + b"{" + b"[" * 8, "damaged"),
        (struct.pack("<Q", 100_000) + b"{" + b'"a":{' * 19_999 + b" " * 4, "damaged"),
    ],
)
def test_what_is_something_else_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "evil.portrait"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"is refused: .*{message}"):
        open_portrait(path)


def test_a_file_cut_at_any_place_or_with_more_behind_it_is_refused(packed: Path, tmp_path: Path) -> None:
    content, path = packed.read_bytes(), tmp_path / "cut.portrait"
    for length in (4, 8, 9, 500, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match="is refused"):
            open_portrait(path)
    path.write_bytes(content + b"more")
    with pytest.raises(ValueError, match="damaged"):
        open_portrait(path)


def setting(*names: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(facts: dict[str, Any]) -> None:
        for name in names[:-1]:
            facts = facts[name]
        facts[names[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (setting("format", value="something"), "something else"),
        (setting("version", value="1"), "does not say its version"),
        (setting("method", value="gaussians"), "trained with the method 'gaussians'"),
        (setting("method", value="rad-nerf"), "names the class ERNeRFModelConfig where a RADNeRFModelConfig belongs"),
        (setting("model", "class", value="os.system"), "none of ns-talking"),
        (setting("model", "class", value="ns_talking.scripts.pack.Pack"), "it names 'ns_talking.scripts.pack.Pack'"),
        (setting("model", "head", "class", value="ns_talking.modules.audio_code.AudioCodeConfig"),
         "AudioCodeConfig where a TriplaneFieldConfig"),
        (setting("model", "_target", value="os.system"), "has no setting '_target'"),
        (setting("model", "head", "log2_table_size", value=40), "describe no model"),
        (setting("model", "head", "log2_table_size", value=24), "its weights do not fit its settings"),
        (setting("model", "head", "log2_table_size", value=10**9), "does not belong there"),
        (setting("model", "head", "num_levels", value=-1), "describe no model|do not fit its settings"),
        (setting("model", "step_size", value="far"), "does not belong there"),
        (setting("model", "max_samples", value=True), "does not belong there"),
        (setting("clip", "width", value=10**9), "width 1000000000"),
        (setting("clip", "width", value=33), "its background has the shape"),
        (setting("clip", "fps", value=0), "fps 0"),
        (setting("clip", "bounds", value=[[0, 0, 0]]), "the box of the head"),
        (setting("clip", "landmark_scheme", value="none-such"), "none-such"),
        (setting("working_size", value=10**8), "working_size 100000000"),
        (setting("features", "file", value="../../evil.npy"), "the file '../../evil.npy'"),
        (setting("features", "file", value="/etc/cron.npy"), "the file"),
        (setting("features", "name", value="../x"), "the features"),
        (setting("extra_state", value={"_extra_state": {"digest": 3}}), "the state"),
        (setting("extra_state", value={}), "of its state"),
        (setting("cut", value={"source_size": [9, 9], "crop": [0, 0, 99, 9], "fps": 25, "start_s": 0,
                               "num_frames": 3}), "the cut"),
        (lambda facts: facts.pop("clip"), "it lacks 'clip'"),
    ],
)  # fmt: skip
def test_claims_that_cannot_be_are_refused(altered: Callable[..., Path], change: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"is refused: .*({message})"):
        open_portrait(altered(change))


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("weights._model.head.planes", torch.full((3, 9, 1), torch.nan), "are not finite"),
        ("weights._model.head.planes", torch.zeros(3, 9, 1), r"_model.head.planes' should be float32 .* is float32 \["),
        ("weights._model.head.planes", None, "is absent"),
        ("weights._model.evil", torch.zeros(1), "should be absent"),
        ("head_poses", torch.zeros(3, 4, 4, dtype=torch.float64), "its head_poses"),
        ("head_poses", torch.zeros(22, 4, 4), "its head_poses is torch.float32"),
        ("blink", None, "'blink' are missing"),
        ("blink", torch.full((22,), 1e9), "its blink"),
        ("frames", torch.arange(5, 26), "its frames"),
        ("held_out", torch.ones(21, dtype=torch.bool), "its held_out"),
        ("audio_frames", torch.zeros(3, dtype=torch.int64), "its audio_frames"),
        ("../evil", torch.zeros(1), "are missing or too many"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(
    altered: Callable[..., Path], name: str, tensor: torch.Tensor | None, message: str
) -> None:
    with pytest.raises(ValueError, match=f"is refused: .*{message}"):
        open_portrait(altered(**{name: tensor}))


def test_a_newer_version_is_told_apart(altered: Callable[..., Path]) -> None:
    with pytest.raises(ValueError, match="has version 2 of the format, this ns-talking reads up to 1. Upgrade"):
        open_portrait(altered(setting("version", value=2)))


def test_weights_that_are_not_finite_are_not_packed(dataset: Path, tmp_path: Path) -> None:
    pipeline = pipeline_of("er-nerf", dataset)
    with torch.no_grad():
        pipeline.portrait_model.torso.table[0] = torch.inf
    with pytest.raises(ValueError, match=r"cannot be packed: 1 of its tensors, .*torso.table"):
        write_portrait(pipeline, "er-nerf", tmp_path / "me.portrait")


def test_commands_take_it_or_say_what_they_need(
    packed: Path, sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def status(*arguments: object) -> object:
        with pytest.raises(SystemExit) as exit_:
            main([str(argument) for argument in arguments])
        return exit_.value.code

    output = tmp_path / "out.mp4"
    assert status("render", "--load-config", packed, "--audio", sound, "--end", 0.2, "--output", output) == 0
    assert output.is_file()
    assert status("evaluate", "--load-config", packed, "--output", tmp_path / "e") == 1
    assert "Name the config.yml of the training here" in " ".join(capsys.readouterr().err.split())
    assert status("pack", "--load-config", packed, "--output", "x.ckpt") == 1
    assert "has to end in .portrait" in capsys.readouterr().err
    with pytest.raises(FileNotFoundError, match="There is no portrait"):
        read_portable(tmp_path / "gone.portrait")


def test_settings_that_a_file_does_not_have_are_those_of_the_version_that_wrote_it() -> None:
    content = settings_as_json(TorsoDeformationConfig())
    assert settings_from_json(content, TorsoDeformationConfig).bend_with_torso
    del content["bend_with_torso"]
    assert not settings_from_json(content, TorsoDeformationConfig).bend_with_torso
