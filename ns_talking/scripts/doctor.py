"""`ns-talking doctor`: what is wrong, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.text import Text

from ns_talking.utils.progress import CONSOLE
from ns_talking.utils.verdicts import Verdict, verdict_table


@dataclass
class Doctor:
    """Check the installation, and a dataset or a training where one is named.

    Every finding says what to do. The status is 1 when something fails.
    """

    target: tyro.conf.Positional[Path | None] = None
    """A dataset's folder, or the config.yml of a training or its folder; left out, the installation alone."""
    models: Path | None = None
    """Folder with model files, searched before NS_TALKING_MODELS and the cache."""
    data: Path | None = None
    """The dataset of a training, where it was moved."""

    def main(self) -> None:
        """Check.

        Raises:
            ValueError: When something fails; the message counts what.
            FileNotFoundError: When the target is neither a dataset nor a training.
        """
        parts = self._checks()
        failed = 0
        for title, verdicts in parts:
            CONSOLE.print(verdict_table(verdicts, title))
            failed += sum(verdict.level == "fail" for verdict in verdicts)
        if failed:
            raise ValueError(f"{failed} check(s) failed; what to do stands beside each of them.")
        CONSOLE.print(Text("Nothing failed."))

    def _checks(self) -> list[tuple[str, list[Verdict]]]:
        from ns_talking.doctor.environment import environment

        if self.target is None:
            return [("Installation", environment(self.models))]
        target = self.target.expanduser()
        if not target.exists():
            raise FileNotFoundError(f"There is no dataset or config {target}. Check the path.")
        if target.is_file() or (target / "config.yml").is_file():
            return self._training(target)
        from ns_talking.doctor.dataset import dataset

        return [(f"Dataset {target.name}", dataset(target))]

    def _training(self, config_path: Path) -> list[tuple[str, list[Verdict]]]:
        from ns_talking.doctor.training import training
        from ns_talking.scripts.loading import find_config, load_portrait, read_config

        path = find_config(config_path)
        config = read_config(path)
        pipeline = load_portrait(path, self.data)
        return [(f"Training {path.parent.name}", training(pipeline, config, path))]
