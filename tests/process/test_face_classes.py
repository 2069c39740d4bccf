"""Classes of the face from a network of the user's."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from painted_clip import no_progress, paint, painted_workspace

from ns_talking.data.face_classes import FaceClass
from ns_talking.process.face_classes import FaceClassesStep
from ns_talking.process.face_parser import CLASS_OF_LABEL, FaceParser
from ns_talking.process.step import ProcessSettings

LABELS = list(CLASS_OF_LABEL)


def write_parser(folder: Path, labels: list[str] = LABELS, favourite: str | None = None) -> Path:
    """Write a small SegFormer with random weights; `favourite` is the label that it finds everywhere."""
    import transformers

    torch.manual_seed(0)
    config = transformers.SegformerConfig(
        num_labels=len(labels),
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
        hidden_sizes=[8, 8, 8, 8],
        depths=[1, 1, 1, 1],
        num_attention_heads=[1, 1, 1, 1],
        decoder_hidden_size=8,
    )
    network = transformers.SegformerForSemanticSegmentation(config)
    if favourite is not None:
        with torch.no_grad():
            network.decode_head.classifier.bias[labels.index(favourite)] = 1e3
    network.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("label", "face_class"),
    [
        ("eye_g", FaceClass.EYES),
        ("ear_r", FaceClass.EARS),
        ("neck_l", FaceClass.NECK),
        ("hat", FaceClass.HAIR),
        ("cloth", FaceClass.CLOTHES),
    ],
)
def test_what_a_person_wears_is_no_background(tmp_path: Path, label: str, face_class: FaceClass) -> None:
    parser = FaceParser(write_parser(tmp_path / "parser", favourite=label))
    assert (parser.classes(np.zeros((40, 30, 3), np.uint8)) == face_class).all()


def test_labels_are_found_by_name_in_any_order(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8)
    parser = FaceParser(write_parser(tmp_path / "parser"))
    backward = write_parser(tmp_path / "backward")
    config = json.loads((backward / "config.json").read_text())
    config["id2label"] = {str(index): label for index, label in enumerate(reversed(LABELS))}
    (backward / "config.json").write_text(json.dumps(config))
    found, other = parser.classes(image), FaceParser(backward).classes(image)
    assert found.shape == (48, 64) and len(np.unique(found)) > 1
    numbers = {CLASS_OF_LABEL[label]: index for index, label in enumerate(LABELS)}
    mirrored = {face_class: CLASS_OF_LABEL[LABELS[::-1][index]] for face_class, index in numbers.items()}
    unique = [one for one in np.unique(found) if list(CLASS_OF_LABEL.values()).count(FaceClass(one)) == 1]
    for one in unique:
        assert (other[found == one] == mirrored[FaceClass(one)]).all()


def test_the_step_writes_a_class_for_every_pixel_of_every_frame(tmp_path: Path) -> None:
    workspace = painted_workspace(tmp_path / "data", [paint()] * 3)
    settings = replace(workspace.settings, face_parser=write_parser(tmp_path / "parser", favourite="skin"))
    workspace = replace(workspace, settings=settings)
    figures = FaceClassesStep().run(workspace, no_progress)
    assert figures["shares"]["skin"] == 1
    assert FaceClassesStep().outputs(workspace) == [workspace.folder / "classes"]
    written = sorted(workspace.classes.iterdir())
    assert [path.name for path in written] == ["000000.png", "000001.png", "000002.png"]
    image = cv2.imread(str(written[0]), cv2.IMREAD_UNCHANGED)
    assert image is not None and image.dtype == np.uint8 and (image == FaceClass.SKIN).all()
    assert image.shape == workspace.read_image(0).shape[:2]


def test_without_a_parser_the_landmarks_are_left_to_it(tmp_path: Path) -> None:
    workspace = painted_workspace(tmp_path / "data", [paint()])
    assert FaceClassesStep().run(workspace, no_progress) == {}
    assert FaceClassesStep().outputs(workspace) == [] and not workspace.classes.exists()
    assert FaceClassesStep().settings_key(ProcessSettings()) == {}


def test_other_weights_are_another_step(tmp_path: Path) -> None:
    keys = [
        FaceClassesStep().settings_key(ProcessSettings(face_parser=write_parser(tmp_path / name, favourite=name)))
        for name in ("skin", "hair")
    ]
    assert keys[0] != keys[1]


@pytest.mark.parametrize(
    ("name", "message"), [("config.json", "holds no config.json"), ("model.safetensors", "holds no model.safetensors")]
)
def test_a_missing_file_is_named_with_its_source(tmp_path: Path, name: str, message: str) -> None:
    folder = write_parser(tmp_path / "parser")
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=rf"{message}.*jonathandinu/face-parsing.*leave --face-parser out"):
        FaceParser(folder)


def test_a_network_for_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has the label 'wall', but a face parser knows these alone: background"):
        FaceParser(write_parser(tmp_path / "parser", ["background", "wall"]))


def test_a_configuration_that_is_damaged_is_refused(tmp_path: Path) -> None:
    folder = write_parser(tmp_path / "parser")
    (folder / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json is no JSON"):
        FaceParser(folder)
    (folder / "config.json").write_text("[]")
    with pytest.raises(ValueError, match=r"config\.json is no configuration"):
        FaceParser(folder)
    (folder / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"has no list of labels"):
        FaceParser(folder)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    folder = write_parser(tmp_path / "parser")
    smaller = write_parser(tmp_path / "other", [label for label in LABELS if label != "hat"])
    (folder / "model.safetensors").write_bytes((smaller / "model.safetensors").read_bytes())
    with pytest.raises(
        ValueError, match=r"does not fill the model .* 'decode_head\.classifier\.\w+' is missing or has"
    ):
        FaceParser(folder)
