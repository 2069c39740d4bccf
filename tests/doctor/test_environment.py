from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from ns_talking.doctor import environment
from ns_talking.process.models import MODELS
from ns_talking.utils.verdicts import Verdict


def only(verdicts: list[Verdict], name: str) -> Verdict:
    return next(verdict for verdict in verdicts if verdict.name == name)


def test_this_installation_has_no_failure_and_every_finding_says_what_to_do() -> None:
    for verdict in environment.environment():
        assert verdict.level != "fail", verdict
        assert verdict.reason and verdict.found
        assert (verdict.level == "pass") == (verdict.advice == "")


@pytest.mark.parametrize(
    ("check", "package", "found", "level", "advice"),
    [
        (environment.nerfstudio, "nerfstudio", "1.0.3", "fail", "nerfstudio>=1.1.5"),
        (environment.mediapipe, "mediapipe", "1.2.2", "warn", "mediapipe==0.10.31"),
        (environment.mediapipe, "mediapipe", None, "warn", "face-alignment"),
        (environment.opencv, "opencv-python", "4.12.0", "warn", "pip uninstall opencv-python opencv-python-headless"),
    ],
)
def test_versions_known_to_conflict_are_found(
    monkeypatch: pytest.MonkeyPatch, check, package: str, found: str | None, level: str, advice: str
) -> None:
    known = environment.version
    monkeypatch.setattr(environment, "version", lambda name: found if name == package else known(name))
    verdict = check()
    assert verdict.level == level and advice in verdict.advice


def test_a_pair_of_torch_and_torchvision_that_does_not_fit_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(environment.importlib, "import_module", broken)
    verdict = environment.torch_pair()
    assert verdict.level == "fail" and "one command" in verdict.advice


def test_a_gpu_without_triton_fails_and_no_gpu_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment.torch.cuda, "is_available", lambda: False)
    assert environment.triton().level == "pass"
    gpu = environment.device()
    assert gpu.level == "warn" and "install its driver" in gpu.advice
    monkeypatch.setattr(environment.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(environment, "version", lambda name: None)
    verdict = environment.triton()
    assert verdict.level == "fail" and "pip install triton" in verdict.advice


def test_a_broken_plugin_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        EntryPoint("er-nerf", "ns_talking.methods.er_nerf:er_nerf", "g"),
        EntryPoint("other", "no_such_package:method", "g"),
    ]
    monkeypatch.setattr(environment.importlib.metadata, "entry_points", lambda group: points)
    methods = environment.entry_points()[0]
    assert methods.level == "fail" and "plugin of other" in methods.advice
    monkeypatch.setattr(environment.importlib.metadata, "entry_points", lambda group: [])
    assert "pip install" in environment.entry_points()[0].advice


def test_a_model_file_with_other_content_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NS_TALKING_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NS_TALKING_MODELS", raising=False)
    assert {verdict.level for verdict in environment.models_of(None)} == {"pass"}
    # What is never downloaded: where to get it, and where to put it.
    found = only(environment.models_of(None), "syncnet_v2.model").found
    assert MODELS["syncnet_v2.model"].url in found and str(tmp_path / "cache" / "models") in found
    (tmp_path / "syncnet_v2.model").write_bytes(b"a page that says 404")
    verdict = only(environment.models_of(tmp_path), "syncnet_v2.model")
    assert verdict.level == "fail" and MODELS["syncnet_v2.model"].url in verdict.advice
