"""The page of `ns-viewer` in a real browser: panel, upload, playback, picture."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import browser
from commands import command_environment, script_path

from ns_talking.audio.io import write_wav
from ns_talking.utils.video import video_info

# Starting a browser and a viewer beside other work takes its time.
pytestmark = pytest.mark.timeout(900)
MICROPHONE = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
"""Let the browser have a microphone, which beeps."""


@pytest.fixture(scope="module")
def page(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    """The page, opened by a browser in a profile of its own."""
    folder = tmp_path_factory.mktemp("viewer")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = (folder / "viewer.log").open("w")
    command = [script_path("ns-viewer"), "--load-config", str(trained)]
    command += ["--viewer.websocket-port", str(port)]
    viewer = subprocess.Popen(command, cwd=folder, env=command_environment(), stdout=log, stderr=subprocess.STDOUT)
    try:
        for _ in range(480):
            assert viewer.poll() is None, (folder / "viewer.log").read_text()[-3000:]
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.5)
        window = {"width": 1000, "height": 700}
        # Fewer pixels: the browser draws them on the processor, again and again.
        few = {"viewport": window, "device_scale_factor": 0.5}
        with browser(folder / "profile", *MICROPHONE, **few, accept_downloads=True) as context:
            page = context.new_page()
            page.set_default_timeout(400_000)
            page.goto(f"http://127.0.0.1:{port}")
            page.wait_for_selector("audio[data-sound]")
            page.wait_for_function("document.querySelector('audio').readyState >= 3")
            yield page
    finally:
        viewer.terminate()
        viewer.wait(30)


def heard_s(page) -> float:
    return page.evaluate("document.querySelector('audio').currentTime")


def sound(page) -> str:
    """Number of the sound that the player has."""
    return page.evaluate("document.querySelector('audio').dataset.sound")


def wait_for_another_sound(page, before: str) -> None:
    """Wait until the player has another sound, and the page's message is gone."""
    page.wait_for_function(f"(document.querySelector('audio') || {{dataset: {{}}}}).dataset.sound > {before}")
    page.get_by_text("Reading the upload").wait_for(state="hidden")


def slider_s(page) -> float:
    row = page.locator("div", has=page.get_by_text("Time (s)", exact=True)).last
    return float(row.locator("xpath=..").locator("input").last.input_value())


def picture(page) -> np.ndarray:
    """The page without its panel, as numbers."""
    import cv2

    shot = page.screenshot(clip={"x": 0, "y": 60, "width": 640, "height": 600})
    return cv2.imdecode(np.frombuffer(shot, np.uint8), cv2.IMREAD_COLOR).astype(int)


def settled(page, other_than: np.ndarray | None = None) -> np.ndarray:
    """The portrait once it has stopped changing; the empty page is much darker."""
    last = picture(page)
    for _ in range(600):
        time.sleep(0.5)
        now = picture(page)
        changed = other_than is None or np.abs(now - other_than).max() > 2
        if now.mean() > 60 and changed and np.array_equal(now, last):
            return now
        last = now
    raise AssertionError("the picture never came to rest" if changed else "the picture never changed")


def test_the_panel_is_on_the_page_and_the_clock_is_hidden(page) -> None:
    for text in ("Talking portrait", "Play", "Loop", "Speed", "Upload sound or video", "Mouth close-up", "Head"):
        assert page.get_by_text(text, exact=True).first.is_visible(), text
    page.wait_for_function("document.querySelector('line') !== null")
    page.get_by_text("Sound clock").wait_for(state="hidden")
    assert page.evaluate("document.querySelector('audio').duration") == pytest.approx(5.28, abs=0.06)


def test_playing_moves_scrubber_and_picture_and_pausing_stops_them(page) -> None:
    before = settled(page)
    page.get_by_role("button", name="Play", exact=True).click()
    page.wait_for_function("document.querySelector('audio').currentTime > 0.5")
    # On a busy machine the sound would end before the button is reached.
    page.evaluate("document.querySelector('audio').playbackRate = 0.1")
    page.get_by_role("button", name="Pause", exact=True).click()
    page.wait_for_function("document.querySelector('audio').paused")
    page.get_by_role("button", name="Play", exact=True).wait_for()
    stopped_s = heard_s(page)
    for _ in range(600):
        if slider_s(page) == pytest.approx(stopped_s, abs=0.05):
            break
        time.sleep(0.5)
    assert slider_s(page) == pytest.approx(stopped_s, abs=0.05)
    settled(page, other_than=before)
    assert heard_s(page) == stopped_s


def test_the_waveform_and_the_scrubber_move_the_sound(page) -> None:
    box = page.locator("svg[viewBox='0 0 100 40']").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_function("Math.abs(document.querySelector('audio').currentTime - 2.64) < 0.1")
    row = page.locator("div", has=page.get_by_text("Time (s)", exact=True)).last.locator("xpath=..")
    row.locator("input").last.fill("1.24")
    row.locator("input").last.press("Enter")
    page.wait_for_function("Math.abs(document.querySelector('audio').currentTime - 1.24) < 0.001")


def test_an_upload_drives_the_page_and_what_is_no_sound_is_explained(page, tmp_path: Path) -> None:
    write_wav(tmp_path / "one second <b>.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 16_000).astype(np.float32))
    before = sound(page)
    page.locator("input[type=file]").set_input_files(tmp_path / "one second <b>.wav")
    wait_for_another_sound(page, before)
    page.wait_for_function("Math.abs(document.querySelector('audio').duration - 1) < 0.06")
    page.wait_for_function("Array.from(document.querySelectorAll('input')).some(i => i.value == 'one_second_b.wav')")
    (tmp_path / "text.wav").write_text("no sound " * 99)
    page.locator("input[type=file]").set_input_files(tmp_path / "text.wav")
    page.get_by_text("cannot be read as sound or video").wait_for()


def test_a_plain_background_is_shown(page) -> None:
    before = settled(page)
    page.get_by_text("Plain background", exact=True).locator("xpath=../../..").locator("input").first.check(force=True)
    assert np.abs(settled(page, other_than=before) - before).mean() > 1


def test_speed_and_loop_reach_the_sound(page) -> None:
    row = page.locator("div", has=page.get_by_text("Speed", exact=True)).last.locator("xpath=..")
    row.locator("input:visible").last.click()
    page.get_by_role("option", name="2", exact=True).click()
    page.wait_for_function("document.querySelector('audio').playbackRate === 2")
    page.get_by_text("Loop", exact=True).locator("xpath=../../..").locator("input").first.check(force=True)
    page.wait_for_function("document.querySelector('audio').loop")


def test_the_microphone_drives_the_page(page) -> None:
    before = sound(page)
    button = page.get_by_role("button", name="Record the microphone")
    button.click()
    page.get_by_role("button", name="Stop recording").wait_for()
    time.sleep(1.2)
    page.get_by_role("button", name="Stop recording").click()
    wait_for_another_sound(page, before)
    page.wait_for_function("Array.from(document.querySelectorAll('input')).some(i => i.value == 'microphone.wav')")
    page.wait_for_function(
        "document.querySelector('audio').duration > 0.5 && document.querySelector('audio').duration < 60"
    )


def test_what_is_heard_can_be_taken_along_as_mp4_and_as_a_path(page, tmp_path: Path) -> None:
    write_wav(tmp_path / "short.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 6_400).astype(np.float32))
    before = sound(page)
    page.locator("input[type=file]").set_input_files(tmp_path / "short.wav")
    wait_for_another_sound(page, before)
    page.wait_for_function("Math.abs(document.querySelector('audio').duration - 0.4) < 0.06")
    with page.expect_download(timeout=400_000) as path:
        page.get_by_role("button", name="Camera path for ns-render").click()
    content = json.loads(Path(path.value.path()).read_text())
    assert len(content["camera_path"]) == 10 and content["audio"].endswith("short.wav")
    with page.expect_download(timeout=400_000) as video:
        page.get_by_role("button", name="Render an mp4").click()
    video.value.save_as(tmp_path / "talk.mp4")
    info = video_info(tmp_path / "talk.mp4")
    assert (info.num_frames, info.width, info.has_sound) == (10, 32, True)
