"""The page of `ns-viewer` in a real browser: panel, upload, playback, picture."""

from __future__ import annotations

import base64
import json
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import browser
from commands import command_environment, script_path

from ns_talking.audio.io import write_wav
from ns_talking.utils.video import video_info

# Starting a browser and a viewer beside other work takes its time.
pytestmark = pytest.mark.timeout(900)
WHOLE_PX = 164
"""Longest side of a picture that rests; Nerfstudio's slider goes in steps of 100 from 64."""
MICROPHONE = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
"""Let the browser have a microphone, which beeps."""


KEEP_PICTURES = """
window.lastPicture = null;
const create = URL.createObjectURL;
URL.createObjectURL = (thing) => {
  if (thing.type && thing.type.startsWith("image")) window.lastPicture = thing;
  return create.call(URL, thing);
};
"""
LAST_PICTURE = """async () => {
  const bytes = window.lastPicture ? new Uint8Array(await window.lastPicture.arrayBuffer()) : [];
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}"""


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
            context.add_init_script(KEEP_PICTURES)
            # A picture from elsewhere that fails late would change the window that is left to the portrait.
            context.route(re.compile(r"^https?://(?!127\.0\.0\.1)"), lambda route: route.abort())
            page = context.new_page()
            page.set_default_timeout(400_000)
            page.goto(f"http://127.0.0.1:{port}")
            page.wait_for_selector("audio[data-sound]")
            page.wait_for_function("document.querySelector('audio').readyState >= 3 && window.lastPicture")
            # Whole pictures cost little then, on any machine.
            field = number_field(page, "Max res")
            field.fill(str(WHOLE_PX))
            field.press("Enter")
            yield page
    finally:
        viewer.terminate()
        viewer.wait(30)


def heard_s(page) -> float:
    return page.evaluate("document.querySelector('audio').currentTime")


def number_field(page, label: str):
    """The field beside a slider."""
    row = page.locator("div", has=page.get_by_text(label, exact=True)).last
    return row.locator("xpath=..").locator("input").last


def slider(page):
    """The scrubber's field of seconds."""
    return number_field(page, "Time (s)")


def sound(page) -> str:
    """Number of the sound that the player has."""
    return page.evaluate("document.querySelector('audio').dataset.sound")


def upload(page, path: Path, seconds: float) -> None:
    """Upload noise."""
    write_wav(path, np.random.default_rng(0).uniform(-0.5, 0.5, round(16_000 * seconds)).astype(np.float32))
    page.locator("input[type=file]").set_input_files(path)


def wait_for_another_sound(page, before: str) -> None:
    """Wait until the player has another sound, and the page's message is gone."""
    page.wait_for_function(f"(document.querySelector('audio') || {{dataset: {{}}}}).dataset.sound > {before}")
    page.get_by_text("Reading the upload").wait_for(state="hidden")


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 200) -> None:
    """Look again and again, because nobody knows how busy the machine is."""
    end_s = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end_s, f"{what}: not within {seconds:g} s"
        time.sleep(0.1)


def slider_follows(page) -> None:
    """Wait until the scrubber is where the sound rests."""
    wait_until(
        lambda: abs(float(slider(page).input_value()) - heard_s(page)) < 0.05, "the scrubber is where the sound is"
    )


def scrub(page, seconds: str) -> None:
    """Type an instant, once nothing moves the scrubber that could come between."""
    slider_follows(page)
    slider(page).fill(seconds)
    slider(page).press("Enter")
    page.wait_for_function(f"Math.abs(document.querySelector('audio').currentTime - {seconds}) < 0.001")


def tick(page, label: str, on: bool = True) -> None:
    """Check a box, or take the check away."""
    page.get_by_text(label, exact=True).locator("xpath=../../..").locator("input").first.set_checked(on, force=True)


def loop(page, on: bool) -> None:
    tick(page, "Loop", on)
    page.wait_for_function(f"document.querySelector('audio').loop === {json.dumps(on)}")


def choose(page, label: str, option: str) -> None:
    """Open a list and take one of it."""
    row = page.locator("div", has=page.get_by_text(label, exact=True)).last.locator("xpath=..")
    row.locator("input:visible").last.click()
    page.get_by_role("option", name=option, exact=True).click()


def play(page) -> None:
    page.get_by_role("button", name="Play", exact=True).click()
    page.wait_for_function("!document.querySelector('audio').paused")


def pause(page) -> None:
    """Press the button and wait until sound and scrubber rest."""
    page.get_by_role("button", name="Pause", exact=True).click()
    page.wait_for_function("document.querySelector('audio').paused")
    page.get_by_role("button", name="Play", exact=True).wait_for()
    slider_follows(page)


def picture(page) -> np.ndarray:
    """The picture that the page got last: rows, columns, BGR."""
    import cv2

    encoded = base64.b64decode(page.evaluate(LAST_PICTURE))
    return cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR).astype(int)


def differ(one: np.ndarray, other: np.ndarray) -> int:
    """How far two pictures differ at most; nothing where the window has just changed its shape."""
    return int(np.abs(one - other).max()) if one.shape == other.shape else 0


def moved(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether the picture changed all over, as it does when the head or the instant is another one.

    A portrait of a dozen steps is a blur: no single pixel changes much. At rest pictures are equal to the bit.
    """
    return differ(one, other) > 0 and float(np.abs(one - other).mean()) > 0.25


def whole_picture(page, accept: Callable[[np.ndarray], bool] = lambda _: True) -> np.ndarray:
    """Wait for a picture of full size; smaller ones come first, and may stay for a while."""
    last = []

    def came() -> bool:
        new = picture(page)
        last[:] = [new]
        return last[0].shape[1] == WHOLE_PX and accept(last[0])

    wait_until(came, "a whole picture")
    return last[0]


def test_portrait_and_panel_are_on_the_page_and_the_clock_is_hidden(page) -> None:
    for text in ("Talking portrait", "Play", "Loop", "Speed", "Upload sound or video", "Mouth close-up", "Head"):
        assert page.get_by_text(text, exact=True).first.is_visible(), text
    page.wait_for_function("document.querySelector('line') !== null")
    page.get_by_text("Sound clock").wait_for(state="hidden")
    assert page.evaluate("document.querySelector('audio').duration") == pytest.approx(5.28, abs=0.06)
    # The empty page is much darker.
    wait_until(lambda: screenshot(page).mean() > 60, "the portrait is drawn")


def screenshot(page) -> np.ndarray:
    """The page without its panel, as numbers: rows, columns, BGR."""
    import cv2

    shot = page.screenshot(clip={"x": 0, "y": 60, "width": 640, "height": 600})
    return cv2.imdecode(np.frombuffer(shot, np.uint8), cv2.IMREAD_COLOR).astype(int)


def test_the_page_starts_at_the_clips_view_and_shows_the_instant_that_scrubber_and_waveform_choose(page) -> None:
    free = whole_picture(page)
    choose(page, "Head", "as in the clip")
    early = whole_picture(page, lambda now: moved(now, free))
    choose(page, "Head", "still")
    whole_picture(page, lambda now: np.array_equal(now, free))
    choose(page, "Head", "as in the clip")
    whole_picture(page, lambda now: np.array_equal(now, early))
    wave = page.locator("svg[viewBox='0 0 100 40']")
    wave.click(position={"x": wave.bounding_box()["width"] * 0.4 / 5.28, "y": 10})
    page.wait_for_function("Math.abs(document.querySelector('audio').currentTime - 0.4) < 0.05")
    slider_follows(page)
    whole_picture(page, lambda now: moved(now, early))
    scrub(page, "0")
    whole_picture(page, lambda now: np.array_equal(now, early))


COUNT_ROUNDS = """() => {
  window.rounds = 0;
  let last = 0;
  const watch = () => {
    const now = document.querySelector("audio").currentTime;
    if (now < last - 1) window.rounds += 1;
    last = now;
    setTimeout(watch, 20);
  };
  watch();
}"""


def test_a_loop_takes_sound_scrubber_and_picture_round_until_it_is_paused(page) -> None:
    loop(page, True)
    scrub(page, "4.4")
    page.evaluate(COUNT_ROUNDS)
    play(page)
    page.wait_for_function("window.rounds >= 1")
    wait_until(lambda: float(slider(page).input_value()) < 4, "the scrubber went round")
    wait_until(lambda: picture(page).shape[1] < WHOLE_PX, "pictures are small while sound plays")
    page.wait_for_function("window.rounds >= 2")
    pause(page)
    whole_picture(page)


def test_whatever_is_clicked_while_sound_plays_arrives(page) -> None:
    loop(page, True)
    play(page)
    for _ in range(8):
        loop(page, False)
        loop(page, True)
    page.wait_for_function("!document.querySelector('audio').paused")
    page.get_by_role("button", name="Pause", exact=True).wait_for()
    pause(page)


def test_a_sound_that_is_over_starts_again_when_it_is_to_loop(page) -> None:
    loop(page, False)
    scrub(page, "5")
    page.get_by_role("button", name="Play", exact=True).click()
    page.wait_for_function("document.querySelector('audio').ended")
    loop(page, True)
    page.wait_for_function("!document.querySelector('audio').paused")
    page.get_by_role("button", name="Pause", exact=True).wait_for()
    pause(page)


def test_another_sound_rests_at_its_start_and_keeps_loop_and_speed(page, tmp_path: Path) -> None:
    loop(page, True)
    choose(page, "Speed", "2")
    page.wait_for_function("document.querySelector('audio').playbackRate === 2")
    play(page)
    before = sound(page)
    upload(page, tmp_path / "other.wav", seconds=2)
    wait_for_another_sound(page, before)
    page.wait_for_function("Math.abs(document.querySelector('audio').duration - 2) < 0.06")
    page.get_by_role("button", name="Play", exact=True).wait_for()
    assert page.evaluate(
        "(({ paused, loop, playbackRate }) => [paused, loop, playbackRate])(document.querySelector('audio'))"
    ) == [True, True, 2]
    slider_follows(page)


def test_the_page_tells_when_it_painted_a_picture(page) -> None:
    loop(page, True)
    play(page)
    page.wait_for_function("window.nsTalking.number > 0")
    first = page.evaluate("window.nsTalking.number")
    page.wait_for_function(f"window.nsTalking.number > {first}")
    assert (
        0 <= float(page.evaluate("window.nsTalking.time")) <= page.evaluate("document.querySelector('audio').duration")
    )
    pause(page)


def test_an_upload_drives_the_page_and_what_is_no_sound_is_explained(page, tmp_path: Path) -> None:
    before = sound(page)
    upload(page, tmp_path / "one second <b>.wav", seconds=1)
    wait_for_another_sound(page, before)
    page.wait_for_function("Math.abs(document.querySelector('audio').duration - 1) < 0.06")
    page.wait_for_function("Array.from(document.querySelectorAll('input')).some(i => i.value == 'one_second_b.wav')")
    (tmp_path / "text.wav").write_text("no sound " * 99)
    page.locator("input[type=file]").set_input_files(tmp_path / "text.wav")
    page.get_by_text("cannot be read as sound or video").wait_for()


def test_a_plain_background_is_shown(page) -> None:
    before = whole_picture(page)
    tick(page, "Plain background")
    whole_picture(page, lambda now: differ(now, before) > 20)


@pytest.mark.parametrize(
    ("label", "value", "usual"),
    [
        ("Mouth close-up", True, False),
        ("Show", "attention to sound", "portrait"),
        ("Show", "depth", "portrait"),
    ],
)
def test_each_control_of_face_and_view_changes_the_picture_and_back(page, label: str, value: Any, usual: Any) -> None:
    set_to = tick if isinstance(value, bool) else choose
    before = whole_picture(page)
    set_to(page, label, value)
    whole_picture(page, lambda now: differ(now, before) > 0)
    set_to(page, label, usual)
    whole_picture(page, lambda now: np.array_equal(now, before))


def test_the_microphone_drives_the_page(page) -> None:
    before = sound(page)
    page.get_by_role("button", name="Record the microphone").click()
    page.get_by_role("button", name="Stop recording").wait_for()
    page.get_by_text("1 s recorded").wait_for()
    page.get_by_role("button", name="Stop recording").click()
    wait_for_another_sound(page, before)
    page.wait_for_function("Array.from(document.querySelectorAll('input')).some(i => i.value == 'microphone.wav')")
    page.wait_for_function("document.querySelector('audio').duration > 0.5")
    assert page.evaluate("document.querySelector('audio').duration") < 60


def test_what_is_heard_can_be_taken_along_as_mp4_and_as_a_path(page, tmp_path: Path) -> None:
    before = sound(page)
    upload(page, tmp_path / "short.wav", seconds=0.4)
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
