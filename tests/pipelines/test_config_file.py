"""Laws of reading config.yml: what `ns-train` writes is read as Nerfstudio reads it, and nothing else is executed."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pytest
import torch
import yaml
from declared import METHODS
from methods.conftest import specification

from ns_talking.pipelines.config_file import read_config_file
from ns_talking.scripts.loading import latest_checkpoint, read_checkpoint


@pytest.fixture
def text() -> str:
    return yaml.dump(deepcopy(specification("er-nerf").config))


def written(folder: Path, content: str) -> Path:
    path = folder / "config.yml"
    path.write_text(content)
    return path


@pytest.mark.parametrize("method", METHODS)
def test_a_config_of_ours_is_read_as_nerfstudio_reads_it(method: str, tmp_path: Path) -> None:
    config = deepcopy(specification(method).config)
    config.data = config.pipeline.datamanager.data = tmp_path / "data"
    path = written(tmp_path, yaml.dump(config))
    expected = yaml.load(path.read_text(), Loader=yaml.Loader)
    found = read_config_file(path)
    assert found == expected == config
    assert yaml.dump(found) == yaml.dump(expected)


def test_a_name_that_a_class_had_elsewhere_is_still_known(text: str, tmp_path: Path) -> None:
    moved = text.replace("torch.optim.adamw.AdamW ", "torch.optim._elsewhere.AdamW ")
    assert moved != text
    assert read_config_file(written(tmp_path, moved)) == specification("er-nerf").config


@pytest.mark.parametrize(
    "hostile",
    [
        "!!python/object/apply:os.system ['touch PLACE']",
        "!!python/object/new:os.system ['touch PLACE']",
        "a: !!python/object/apply:subprocess.check_output [['touch', 'PLACE']]",
        "[!!python/object:subprocess.Popen {args: 'touch PLACE'}]",
        "!!python/module:antigravity ''",
        "!!python/object:ns_talking.scripts.pack.Pack {}",
        "!!python/object:ns_talking.__main__.X {}",
        "!!python/object/apply:ns_talking.utils.files.sha256 [PLACE]",
        "!!python/object:nerfstudio.configs.base_config.MachineConfig {__class__: 3}",
        "!!python/object:nerfstudio.configs.base_config.MachineConfig {seed: !!python/name:os.system ''}",
        "!!python/object:nerfstudio.configs.base_config.MachineConfig {seed: [!!python/name:os.system '']}",
    ],
)
def test_what_is_no_setting_is_refused_and_not_executed(hostile: str, tmp_path: Path) -> None:
    place = tmp_path / "executed"
    path = written(tmp_path, hostile.replace("PLACE", str(place)))
    with pytest.raises(ValueError, match=r"no setting of Nerfstudio or ns-talking and might execute code"):
        read_config_file(path)
    assert not place.exists()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("_target: !!python/name:ns_talking.methods.er_nerf.ERNeRFModel ", "_target: !!python/name:os.system "),
        ("name:ns_talking.methods.er_nerf.ERNeRFModel ", "name:ns_talking.methods.base.PortraitModel "),
        ("nerfstudio.data.utils.nerfstudio_collate.nerfstudio_collate", "builtins.eval"),
        ("_target: !!python/name:ns_talking.methods.er_nerf.ERNeRFModel ''", "_target: text"),
    ],
)  # fmt: skip
def test_what_settings_build_stands_in_their_class(text: str, old: str, new: str, tmp_path: Path) -> None:
    assert old in text
    with pytest.raises(ValueError, match="might execute code"):
        read_config_file(written(tmp_path, text.replace(old, new)))


@pytest.mark.parametrize("content", ["[" * 5000, "a: [", "\x00", "a: !!int x"])
def test_what_is_no_yaml_is_refused(content: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be read as a config of Nerfstudio"):
        read_config_file(written(tmp_path, content))


def test_a_huge_config_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="far more than any config"):
        read_config_file(written(tmp_path, " " * 2_000_000))


class Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.system, ("touch executed",)


def test_a_checkpoint_that_would_execute_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "step-000000001.ckpt"
    torch.save({"pipeline": {}, "step": Hostile()}, path)
    with pytest.raises(ValueError, match=r"holds more than tensors, numbers and texts.*may execute code"):
        read_checkpoint(path)
    assert not (tmp_path / "executed").exists()
    torch.save({"weights": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="is not a checkpoint that `ns-train` wrote"):
        read_checkpoint(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="damaged"):
        read_checkpoint(path)


def test_the_last_checkpoint_is_taken_unless_one_is_named(tmp_path: Path) -> None:
    for step in (9, 100, 20):
        (tmp_path / f"step-{step:09d}.ckpt").touch()
    assert latest_checkpoint(tmp_path, None).name == "step-000000100.ckpt"
    assert latest_checkpoint(tmp_path, 20).name == "step-000000020.ckpt"
    with pytest.raises(FileNotFoundError, match="no checkpoint step-000000030.ckpt"):
        latest_checkpoint(tmp_path, 30)


def test_settings_of_earlier_versions_are_read_as_their_class_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    path.write_text(
        "- !!python/object:ns_talking.fields.motion_lattice.MotionLatticeConfig\n"
        "  _target: !!python/name:ns_talking.fields.motion_lattice.MotionLattice ''\n"
        "  token_dim: 32\n"
        "- !!python/object:ns_talking.modules.lip_shape_fit.LipShapeFitConfig\n"
        "  span: 20\n"
    )
    lattice, fit = read_config_file(path)
    assert (lattice.token_dim, lattice.span) == (32, "head")
    assert fit.span_s == 0.2


@pytest.mark.parametrize("text", ["this is text\n", "hello\n", "", "0\n", "a: 1\nb: 2\n", "}\n", "R\n", "(t.\n"])
def test_a_text_in_the_place_of_a_checkpoint_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "step-000000299.ckpt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"step-000000299\.ckpt .*(damaged|not a checkpoint)"):
        read_checkpoint(path)
