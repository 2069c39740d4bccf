from __future__ import annotations

from pathlib import Path

import pytest
from portraits import write_tiny_portrait

from ns_talking.scripts.doctor import Doctor
from ns_talking.scripts.main import main


def test_the_installation_alone_is_checked_without_a_target(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as status:
        main(["doctor"])
    assert status.value.code == 0
    assert "nerfstudio" in capsys.readouterr().out


def test_a_dataset_that_fails_gives_a_status_for_scripts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_tiny_portrait(tmp_path / "tiny", num_frames=22, size=32)
    with pytest.raises(SystemExit) as status:
        main(["doctor", str(folder)])
    assert status.value.code == 1
    shown = capsys.readouterr()
    assert "clip length" in shown.out and "failed; what to do stands beside" in shown.err.replace("\n", " ")


def test_a_target_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no dataset or config"):
        Doctor(tmp_path / "nothing").main()


def test_a_file_that_is_no_config_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_text("just: text")
    with pytest.raises(ValueError, match="not a config of Nerfstudio"):
        Doctor(tmp_path / "config.yml").main()
