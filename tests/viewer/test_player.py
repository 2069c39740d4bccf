"""Laws of what is written into the page: text stays text, and reports of the clock are read with suspicion."""

from __future__ import annotations

import json
import re

import pytest

from ns_talking.viewer.player import CLOCK, Tick, command, parse_tick, plain, player

NASTY = "</audio><script>alert(1)</script>{globalThis.x=1}`${2}`\"'\\\n& \u2028.wav"


def test_names_of_files_are_text_in_mdx() -> None:
    written = plain(NASTY, html=False)
    literal = written.removeprefix("<span>{").removesuffix("}</span>")
    assert not set("<>{}`&\n\u2028") & set(literal)
    assert json.loads(literal) == NASTY


def test_names_of_files_are_text_in_html() -> None:
    assert "<script" not in plain(NASTY, html=True)
    assert plain("a < b", html=True) == "<div>a &lt; b</div>"


@pytest.mark.parametrize("html", [False, True])
def test_a_player_holds_sound_waveform_and_script(html: bool) -> None:
    page = player(b"\xff\xfbsound", [0.0, 1.0, 0.5], 3.2, 7, html, speed=0.5, loop=True)
    assert 'src="data:audio/mpeg;base64,//tzb3VuZA=="' in page
    assert 'data-seconds="3.200"' in page and 'data-sound="7"' in page
    assert page.count("M") >= 3
    assert "audio.loop = true" in page and "audio.playbackRate = 0.5" in page
    for word in ("LOOP", "SPEED", "CLOCK", "PICTURE", "STAMP_BYTES", "TICK_MS", "HOLD_MS"):
        assert word not in page
    assert ("onerror=" in page) == html and ("ref={" in page) != html
    if html:
        attribute = re.search(r'onerror="([^"]*)"', page)
        assert attribute is not None and "currentTime" in attribute[1]


@pytest.mark.parametrize("html", [False, True])
def test_a_command_says_all_that_a_browser_needs(html: bool) -> None:
    page = command(3, play=True, seek=(2, 1.24), speed=0.5, loop=True, html=html)
    for part in ("audio.loop = true", "audio.playbackRate = 0.5", "const seek = [2, 1.24]", "if (true ||"):
        assert part in page
    for word in ("NUMBER", "SPEED", "SEEK", "PLAY", "LOOP"):
        assert word not in page


def test_reports_of_the_clock_are_read() -> None:
    assert parse_tick(f"{CLOCK} 3 1.240 playing 17 1.120 5") == Tick(3, 1.24, True, 17, 1.12, 5)
    assert parse_tick(f"{CLOCK} 3 1.240 ended 0 0 0 ") == Tick(3, 1.24, False, 0, 0.0, 0)


@pytest.mark.parametrize(
    "text",
    ["", CLOCK, "other 1 2 playing 0 0 0"]
    + [
        f"{CLOCK} {words} 3 1.0 0"
        for words in ("x 1 playing", "1 nan playing", "1 -3 paused", "1 inf paused", "1 2 dancing")
    ]
    + [
        f"{CLOCK} 1 2 paused {words}"
        for words in ("3", "3 1", "3 1 0 more", "x 1 0", "3 nan 0", "3 -1 0", "3 inf 0", "3 1 y")
    ]
    + [f"{CLOCK} {'9' * 9999} 2 paused 3 1 0"],
)
def test_everything_else_in_the_text_field_is_ignored(text: str) -> None:
    assert parse_tick(text) is None
