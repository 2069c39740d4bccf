"""`ns-talking demo`: a procedural talking head is drawn, trained on, and rendered with sound it has never heard."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ns_talking.utils.commands import environment, resolved, run, show
from ns_talking.utils.files import absolute_path, atomic_path, sha256, write_json
from ns_talking.utils.images import write_image
from ns_talking.utils.progress import CONSOLE, progress

_RECORD = "done.json"
_BEGUN = "begun.json"
"""What a training that may have been interrupted was to be made of."""
_METHOD = "er-nerf"
_TIMESTAMP = "demo"
_STEP = re.compile(r"^\s*(\d+) \(\d+(?:\.\d+)?%\)")


@dataclass
class Demo:
    """Make a procedural talking head, train er-nerf on it and render it with unseen sound.

    Takes a few minutes without a GPU. What is complete is kept: run the same command again to continue.
    """

    output: Path = Path("outputs/demo")
    """Folder for the dataset, the training and the video."""
    identity: str = "ada"
    """Who speaks: ada, bruno, chidi, dora, emil, or any other word for a person made up from it."""
    seconds: float = 24.0
    """Length of the clip to train on, in seconds; 5 or more."""
    iterations: int = 1_500
    """Training iterations."""
    size: int = 128
    """Width and height of the clip in pixels."""
    seed: int = 0
    """What is said and how the head moves."""
    jaw: float = 1.0
    """Factor on the opening of the mouth; 1.6 is a large jaw motion."""
    head_motion: float = 1.0
    """Factor on the movement of the head; 0 holds it still."""
    speech_seconds: float = 6.0
    """Length of the unseen speech, in seconds."""
    draw_only: bool = False
    """Stop when the dataset is there."""

    def main(self) -> None:
        """Run the demo."""
        self._check()
        self.output = absolute_path(self.output)
        started_s = time.monotonic()
        try:
            self._draw()
            if self.draw_only:
                CONSOLE.print(f"Next: ns-train {_METHOD} --data {self._data}", highlight=False, soft_wrap=True)
                return
            self._train()
            self._render()
        except KeyboardInterrupt:
            kept = f"What is complete in {self.output} is kept; the same command continues."
            raise KeyboardInterrupt(f"Interrupted. {kept}") from None
        mouth_db, shifted_db = self._compare()
        CONSOLE.print(
            f"\nDone in {time.monotonic() - started_s:.0f} s.\n"
            f"  {self._video}\n      speaks sound that was not in the training clip\n"
            f"  {self._sheet}\n      drawn truth above, rendered frames below\n"
            f"Around the mouth, rendered frames agree with the drawn truth to {mouth_db:.1f} dB PSNR, and to "
            f"{shifted_db:.1f} dB with the mouth of a second later.\n\n"
            "Next, your own video: one person who speaks to the camera for a minute or more.\n"
            "  ns-talking process talk.mp4 --output data/me\n"
            f"  ns-train {_METHOD} --data data/me\n"
            f"  ns-talking render --load-config outputs/me/{_METHOD}/TIME/config.yml --audio speech.wav "
            "--output me.mp4",
            highlight=False,
            soft_wrap=True,
        )

    def _check(self) -> None:
        if self.seconds < 5 or self.speech_seconds <= 0 or self.iterations < 1 or self.size < 32:
            raise ValueError(
                f"--seconds {self.seconds:g} --speech-seconds {self.speech_seconds:g} --iterations {self.iterations} "
                f"--size {self.size} makes no portrait. Give a clip of 5 s or more, more than 0 s of speech, "
                "at least 1 iteration and at least 32 pixels."
            )

    @property
    def _folder(self) -> Path:
        return self.output / self.identity

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    @property
    def _run(self) -> Path:
        return self._folder / "training" / self.identity / _METHOD / _TIMESTAMP

    @property
    def _speech(self) -> Path:
        return self._folder / "unseen.wav"

    @property
    def _video(self) -> Path:
        return self._folder / f"{self.identity}.mp4"

    @property
    def _sheet(self) -> Path:
        return self._folder / f"{self.identity}_real_and_rendered.png"

    def _draw(self) -> None:
        """Make the dataset and the unseen speech."""
        from ns_talking.audio.io import write_wav
        from ns_talking.demo.portrait import write_demo

        portrait = write_demo(self._data, self.identity, self.seconds, self.size, self.seed, self.jaw, self.head_motion)
        write_wav(self._speech, self._unseen()[0])
        CONSOLE.print(f"Dataset: {self._data} ({portrait.num_frames} frames, {portrait.width} px)", soft_wrap=True)

    def _unseen(self) -> tuple[Any, Any]:  # Any: NumPy is imported when it is needed.
        from ns_talking.demo.identity import identity
        from ns_talking.demo.speech import synthesize

        samples, mouth = synthesize(self.speech_seconds, self.seed + 1_000, identity(self.identity).voice)
        return samples, mouth.amplified(self.jaw)

    def _wanted(self, speech: bool) -> dict[str, Any]:  # Any: JSON.
        """Say what a finished training, or a finished video, depends on."""
        from ns_talking.data.format import TRANSFORMS
        from ns_talking.demo.portrait import SETTINGS

        wanted: dict[str, Any] = {"iterations": self.iterations}
        for name in (SETTINGS, TRANSFORMS):
            wanted[name] = sha256(self._data / name)
        if speech:
            wanted["speech"] = sha256(self._speech)
        return wanted

    def _train(self) -> None:
        """Run Nerfstudio's trainer on the dataset."""
        record = self._run / _RECORD
        if _reads(record) == self._wanted(speech=False):
            CONSOLE.print(f"Training: {self._run} is complete", soft_wrap=True)
            return
        checkpoints = self._run / "nerfstudio_models"
        resume = _reads(self._run / _BEGUN) == self._wanted(speech=False) and any(checkpoints.glob("step-*.ckpt"))
        if self._run.exists() and not resume:
            shutil.rmtree(self._run)
        write_json(self._run / _BEGUN, self._wanted(speech=False))
        command = ["ns-train", _METHOD, "--data", str(self._data), "--output-dir", str(self._folder / "training")]
        command += ["--experiment-name", self.identity, "--timestamp", _TIMESTAMP, "--vis", "tensorboard"]
        command += ["--max-num-iterations", str(self.iterations), "--logging.local-writer.max-log-size", "0"]
        command += ["--load-dir", str(checkpoints)] if resume else []
        _run_logged(command, self._folder / "training.log", "Training", self.iterations, "iterations")
        write_json(record, self._wanted(speech=False))
        CONSOLE.print(f"Training: {self._run}", soft_wrap=True)

    def _render(self) -> None:
        """Render the portrait with the unseen speech."""
        record = self._folder / "video.json"
        wanted = self._wanted(speech=True)
        if self._video.is_file() and _reads(record) == wanted:
            return
        record.unlink(missing_ok=True)
        command = ["ns-talking", "render", "--load-config", str(self._run / "config.yml")]
        command += ["--audio", str(self._speech), "--output", str(self._video), "--start-frame", "0"]
        run(command)
        write_json(record, wanted)

    def _compare(self) -> tuple[float, float]:
        """Draw what the rendered video should show, write both as a contact sheet, and measure the mouth.

        Returns:
            PSNR in the mouth box against the drawn truth in dB, and against the mouth of one second later.
        """
        import cv2
        import numpy as np

        from ns_talking.data.format import read_portrait
        from ns_talking.data.landmarks import mouth_box, scheme
        from ns_talking.demo.head import HeadRenderer
        from ns_talking.demo.identity import identity
        from ns_talking.driving.track import mirrored_indices
        from ns_talking.utils.video import read_frames

        portrait = read_portrait(self._data)
        mouth = self._unseen()[1]
        rendered = list(read_frames(self._video))
        count = min(len(rendered), mouth.num_frames)
        shown = _telling_frames(mouth.aperture[:count])
        measured = sorted(set(np.linspace(0, count - 1, min(count, 24)).astype(int).tolist()) | set(shown))
        source = mirrored_indices(count, portrait.num_frames)
        renderer = HeadRenderer(identity(self.identity), self.size)
        errors, shifted_errors, tiles = [], [], {}
        with progress("Comparing", total=len(measured), unit="frames") as advance:
            for index in measured:
                pose, blink = portrait.head_poses[source[index]], float(portrait.blink[source[index]])
                later = (index + round(mouth.fps)) % count
                real, _, _, points, _ = renderer.frame(
                    float(mouth.aperture[index]), float(mouth.width[index]), blink, pose
                )
                other = renderer.frame(float(mouth.aperture[later]), float(mouth.width[later]), blink, pose)[0]
                picture = cv2.resize(rendered[index], (self.size, self.size), interpolation=cv2.INTER_AREA)
                x0, y0, x1, y1 = np.round(mouth_box(points[None], scheme("ibug68"))[0]).astype(int).clip(0, self.size)
                for truth, found in ((real, errors), (other, shifted_errors)):
                    found.append(np.mean((truth[y0:y1, x0:x1] / 255.0 - picture[y0:y1, x0:x1] / 255.0) ** 2))
                tiles[index] = np.concatenate([real, picture], axis=0)
                advance()
        sheet = np.concatenate([tiles[index] for index in shown], axis=1)
        sheet = cv2.resize(sheet, None, fx=max(1, 256 // self.size), fy=max(1, 256 // self.size))
        with atomic_path(self._sheet) as temporary:
            write_image(temporary, cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
        mouth_db, shifted_db = (float(-10 * np.log10(np.mean(values))) for values in (errors, shifted_errors))
        return mouth_db, shifted_db


def _telling_frames(aperture: Any, num_shown: int = 8) -> list[int]:  # Any: NumPy is imported when it is needed.
    """Choose frames from closed to wide open, in time order."""
    import numpy as np

    order = np.argsort(aperture, kind="stable")
    picks = order[np.linspace(0, len(order) - 1, min(num_shown, len(order))).astype(int)]
    return sorted(set(picks.tolist()))


def _reads(path: Path) -> Any:  # Any: JSON.
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _run_logged(command: list[str], log: Path, description: str, total: int, unit: str) -> None:
    """Run a command that reports steps, show a bar, and keep everything it prints.

    Raises:
        ValueError: When the command fails.
    """
    show(command)
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open("w", encoding="utf-8") as file,
        progress(description, total=total, unit=unit) as advance,
        subprocess.Popen(
            resolved(command),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=environment(),
        ) as process,
    ):
        assert process.stdout is not None
        done = 0
        try:
            for line in process.stdout:
                file.write(line)
                match = _STEP.match(line)
                if match:
                    step = min(int(match[1]) + 1, total)
                    advance(max(0, step - done))
                    done = max(done, step)
        except BaseException:
            process.terminate()
            raise
        status = process.wait()
        if status == 0:
            advance(total - done)
    if status != 0:
        tail = "\n".join(log.read_text(encoding="utf-8").splitlines()[-15:])
        raise ValueError(f"`{shlex.join(command[:2])}` failed with status {status}. The end of {log}:\n{tail}")
