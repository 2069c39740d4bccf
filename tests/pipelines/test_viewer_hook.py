"""`ns-viewer` keeps a portrait's page to this machine, unless it is asked otherwise."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
from nerfstudio.configs.base_config import ViewerConfig
from nerfstudio.scripts.viewer.run_viewer import ViewerConfigWithoutNumRays

from ns_talking.methods.er_nerf import er_nerf
from ns_talking.pipelines import viewer_hook


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> type[ViewerConfigWithoutNumRays]:
    """The settings class of an `ns-viewer` of its own."""

    class Settings(ViewerConfigWithoutNumRays):
        pass

    module = ModuleType("run_viewer")
    module.ViewerConfigWithoutNumRays = Settings
    monkeypatch.setitem(sys.modules, "nerfstudio.scripts.viewer.run_viewer", module)
    monkeypatch.setattr(sys, "argv", ["ns-viewer", "--load-config", "config.yml"])
    viewer_hook.install()
    return Settings


def test_the_viewer_listens_to_this_machine_alone_and_says_so(
    command: type[ViewerConfigWithoutNumRays], capsys: pytest.CaptureFixture[str]
) -> None:
    config = command().as_viewer_config()
    assert type(config) is ViewerConfig
    assert config.websocket_host == "127.0.0.1" and not config.default_composite_depth
    assert "--viewer.websocket-host 0.0.0.0 opens it" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("words", [["--viewer.websocket-host", "0.0.0.0"], ["--viewer.websocket_host=0.0.0.0"]])
def test_who_asks_for_another_host_gets_it(
    command: type[ViewerConfigWithoutNumRays], monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["ns-viewer", *words])
    viewer_hook.install()
    assert command(websocket_host="0.0.0.0").as_viewer_config().websocket_host == "0.0.0.0"


def test_a_training_listens_to_this_machine_alone() -> None:
    assert er_nerf.config.viewer.websocket_host == "127.0.0.1"


def test_nerfstudios_own_class_and_settings_are_still_there() -> None:
    fields = set(ViewerConfig.__dataclass_fields__)
    assert set(viewer_hook.DEFAULTS) <= fields
    assert hasattr(ViewerConfigWithoutNumRays, "as_viewer_config")
