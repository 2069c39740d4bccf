"""The sound player in the browser: an audio element with its waveform, whose clock the viewer follows.

The page can show only what Viser offers. Its markdown up to version 1.0 is MDX, whose React handlers run in the
browser; later versions have HTML elements, whose handlers run as well. Both get the same script. It reports the clock,
and which picture was painted when, through a text field of the page, which Viser sends to the server like any typed
text. Viser's page loads a picture by an address that it makes for it and gives up when the picture is there: between
these two the script reads the picture's number, and then waits for the repaint.

Viser's page sends what its widgets are set to at most every 50 ms, and of all widgets together only the last: whatever
is written into the text field right after a click takes the click's place. So the script writes less often than that,
and holds its reports back while someone uses the page.
"""

from __future__ import annotations

import base64
import html as markup
import json
from collections.abc import Sequence
from dataclasses import dataclass

from ns_talking.viewer.stamps import PICTURE, STAMP_BYTES

CLOCK = "ns-talking-clock"
"""First word of the text by which the browser reports its clock."""
CLOCK_LABEL = "Sound clock"
"""Label of the text field; the script hides its row."""
_HEIGHT = 40
_TICK_MS = 80
"""From one report to the next."""
_HOLD_MS = 120
"""How long reports are held back after someone used a widget."""

_SCRIPT = """(root) => {
  const audio = root.querySelector("audio");
  const line = root.querySelector("line");
  const wave = root.querySelector("svg");
  const note = root.querySelector(".ns-talking-note");
  const mic = root.querySelector("button");
  const put = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set;
  audio.loop = LOOP;
  audio.playbackRate = SPEED;
  let told = "", pad = "";
  const tell = () => {
    if (window.nsTalking.held > 0) {
      // What was told last may have been displaced, and is told again, as another text: the page ignores the same.
      if (told) pad = pad ? "" : " ";
      told = "";
      return;
    }
    const field = Array.from(document.querySelectorAll("input")).find((one) => one.value.startsWith("CLOCK"));
    if (!field) return;
    let row = field;
    while (row && !row.textContent.includes("LABEL")) row = row.parentElement;
    if (row && row.style.display !== "none") row.style.display = "none";
    const state = audio.ended ? "ended" : audio.paused ? "paused" : "playing";
    const painted = window.nsTalking;
    const words = ["CLOCK", audio.dataset.sound, audio.currentTime.toFixed(3), state, painted.number, painted.time];
    const text = [...words, audio.dataset.command || 0].join(" ") + pad;
    if (text === told) return;
    told = text;
    put.call(field, text);
    field.dispatchEvent(new Event("input", { bubbles: true }));
  };
  if (!window.nsTalking) {
    const painted = window.nsTalking = { number: 0, time: "0", held: 0 };
    // Plain URL is the document's own address in an HTML element's handler.
    const { URL } = window;
    const create = URL.createObjectURL, revoke = URL.revokeObjectURL;
    const numbers = new Map();
    URL.createObjectURL = (thing) => {
      const url = create.call(URL, thing);
      if (thing.type && thing.type.startsWith("image")) numbers.set(url, thing.slice(-STAMP_BYTES).text());
      return url;
    };
    URL.revokeObjectURL = (url) => {
      revoke.call(URL, url);
      const number = numbers.get(url);
      if (!numbers.delete(url)) return;
      requestAnimationFrame(() => setTimeout(() => {
        const heard = document.querySelector("audio[data-sound]");
        const time = heard && !heard.paused ? heard.currentTime.toFixed(3) : null;
        number.then((text) => {
          const [name, count] = text.split(" ");
          if (time === null || name !== "PICTURE") return;
          painted.number = Number(count);
          painted.time = time;
        });
      }));
    };
    let pressed = false;
    const used = (event) => {
      const thing = event.target, own = document.querySelector("audio[data-sound]");
      const elsewhere = thing.tagName === "CANVAS" || (own && own.parentElement.contains(thing));
      if (event.type === "pointerdown") pressed = !elsewhere;
      const moves = event.type.endsWith("move");
      if (moves ? !pressed : elsewhere || (thing.value || "").startsWith?.("CLOCK")) return;
      painted.held += 1;
      // A timer, whose turn comes after that of the page's even when both are late.
      setTimeout(() => { painted.held -= 1; }, HOLD_MS);
      if (event.type === "pointerup") pressed = false;
    };
    for (const name of ["pointerdown", "pointermove", "pointerup", "click", "keydown", "input", "change", "focusout"]) {
      document.addEventListener(name, used, true);
    }
  }
  const tick = () => {
    if (!root.isConnected) return;
    const at = 100 * audio.currentTime / Math.max(Number(audio.dataset.seconds), 0.001);
    line.setAttribute("x1", at);
    line.setAttribute("x2", at);
    tell();
    setTimeout(tick, TICK_MS);
  };
  wave.addEventListener("click", (event) => {
    const box = wave.getBoundingClientRect();
    audio.currentTime = Number(audio.dataset.seconds) * (event.clientX - box.left) / box.width;
  });
  for (const name of ["play", "pause", "seeked", "ended"]) audio.addEventListener(name, tell);
  if (!navigator.mediaDevices || !window.MediaRecorder) mic.style.display = "none";
  let recorder = null;
  mic.addEventListener("click", async () => {
    if (recorder) { recorder.stop(); return; }
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
      const parts = [];
      recorder = new MediaRecorder(stream);
      recorder.ondataavailable = (event) => {
        parts.push(event.data);
        if (recorder) note.textContent = Math.floor(parts.length / 4) + " s recorded";
      };
      recorder.onstop = () => {
        stream.getTracks().forEach((track) => track.stop());
        const kind = recorder.mimeType.split(";")[0];
        recorder = null;
        mic.textContent = "Record the microphone";
        note.textContent = "";
        const files = new DataTransfer();
        files.items.add(new File(parts, "microphone." + (kind.split("/")[1] || "webm"), { type: kind }));
        const picker = document.querySelector("input[type=file]");
        picker.files = files.files;
        picker.dispatchEvent(new Event("change", { bubbles: true }));
      };
      recorder.start(250);
      mic.textContent = "Stop recording";
    } catch (error) {
      recorder = null;
      note.textContent = "The browser gives no microphone: " + error.message;
    }
  });
  tick();
}"""

_COMMAND = """(mark) => {
  const obey = (tries) => {
    const audio = document.querySelector("audio[data-sound]");
    if (!audio) {
      if (tries > 0) setTimeout(() => obey(tries - 1), 100);
      return;
    }
    if (Number(audio.dataset.command || 0) >= NUMBER) return;
    audio.dataset.command = "NUMBER";
    const note = audio.parentElement.querySelector(".ns-talking-note");
    const over = audio.ended;
    audio.loop = LOOP;
    audio.playbackRate = SPEED;
    const seek = SEEK;
    if (seek !== null && audio.dataset.seek !== String(seek[0])) {
      audio.dataset.seek = seek[0];
      audio.currentTime = seek[1];
    } else if (over && (PLAY || LOOP)) {
      audio.currentTime = 0;
    }
    if (PLAY || (over && LOOP)) {
      audio.play().then(() => { note.textContent = ""; }, () => { note.textContent = "Press play in the player."; });
    } else {
      audio.pause();
    }
  };
  obey(50);
}"""


@dataclass(frozen=True)
class Tick:
    """What a browser says about its clock."""

    sound: int
    """Number of the sound that it plays."""
    time_s: float
    playing: bool
    picture: int
    """Number of the last picture that was painted while sound played; 0 for none."""
    painted_s: float
    """Instant of the sound that was heard then."""
    command: int
    """Number of the last command that it obeyed; 0 for none."""


def player(
    mp3: bytes,
    peaks: Sequence[float],
    duration_s: float,
    sound: int,
    html: bool,
    speed: float = 1.0,
    loop: bool = False,
) -> str:
    """Write the player.

    Args:
        mp3: The sound, encoded.
        peaks: Loudness over time, in [0, 1], for the waveform.
        duration_s: Length of the sound in seconds.
        sound: Its number, which the browser reports back.
        html: Whether the page takes HTML; else MDX.
        speed: Playback rate.
        loop: Whether to start again at the end.
    """
    step = 100 / max(len(peaks), 1)
    bars = "".join(f"M{k * step:.2f} {20 - 19 * peak:.1f}V{20 + 19 * peak:.1f}" for k, peak in enumerate(peaks))
    source = "data:audio/mpeg;base64," + base64.b64encode(mp3).decode()
    stroke = "strokeWidth" if not html else "stroke-width"
    effect = 'vectorEffect="non-scaling-stroke"' if not html else 'vector-effect="non-scaling-stroke"'
    style = _style({"width": "100%", "height": f"{_HEIGHT}px", "cursor": "pointer", "background": "#8882"}, html)
    wide = _style({"width": "100%", "height": "32px"}, html)
    hint = _style({"fontSize": "0.8em"}, html)
    inner = (
        f'<svg viewBox="0 0 100 40" preserveAspectRatio="none" {style}>'
        f'<path d="{bars}" stroke="#4a9eff" {stroke}="1" {effect} fill="none"></path>'
        f'<line x1="0" x2="0" y1="0" y2="40" stroke="#ff5555" {stroke}="2" {effect}></line></svg>'
        f'<audio controls preload="auto" data-sound="{sound}" data-seconds="{duration_s:.3f}" src="{source}" '
        f"{wide}></audio>"
        f'<button type="button" {hint}>Record the microphone</button>'
        f"<div {_class('ns-talking-note', html)} {hint}></div>"
    )
    script = _SCRIPT.replace("CLOCK", CLOCK).replace("LABEL", CLOCK_LABEL)
    script = script.replace("PICTURE", PICTURE).replace("STAMP_BYTES", str(STAMP_BYTES))
    script = script.replace("TICK_MS", str(_TICK_MS)).replace("HOLD_MS", str(_HOLD_MS))
    script = script.replace("LOOP", json.dumps(loop)).replace("SPEED", json.dumps(speed))
    return _running(script, inner, html)


def command(number: int, *, play: bool, seek: tuple[int, float] | None, speed: float, loop: bool, html: bool) -> str:
    """Tell the player of every browser how to be; each obeys a number once.

    A page may get only the last of several commands, so each says everything. A sound that is over starts again where
    it is to loop.

    Args:
        number: Of the command; an earlier one that comes later is not obeyed.
        play: Whether to play or to pause.
        seek: Where to go, as a number that each browser follows once, and seconds; None stays.
        speed: Playback rate.
        loop: Whether to start again at the end.
        html: Whether the page takes HTML; else MDX.
    """
    script = _COMMAND.replace("NUMBER", str(number)).replace("LOOP", json.dumps(loop))
    script = script.replace("SPEED", json.dumps(speed)).replace("SEEK", json.dumps(seek))
    return _running(script.replace("PLAY", json.dumps(play)), "", html)


def plain(text: str, html: bool) -> str:
    """Write text that is nothing but text, whatever it contains: names of files come from anywhere."""
    if html:
        return f"<div>{markup.escape(text)}</div>"
    # A string literal inside an expression. The escapes keep it one line, without what MDX or HTML could read.
    literal = json.dumps(text)
    for letter in "<>{}&`":
        literal = literal.replace(letter, f"\\u{ord(letter):04x}")
    return f"<span>{{{literal}}}</span>"


def parse_tick(text: str) -> Tick | None:
    """Read what the text field holds; None where it is no report of a clock."""
    words = text[:200].split()
    if len(words) != 7 or words[0] != CLOCK or words[3] not in ("playing", "paused", "ended"):
        return None
    try:
        sound, picture, number = int(words[1]), int(words[4]), int(words[6])
        time_s, painted_s = float(words[2]), float(words[5])
    except ValueError:
        return None
    if not (0 <= time_s < 1e6 and 0 <= painted_s < 1e6):
        return None
    return Tick(sound, time_s, words[3] == "playing", picture, painted_s, number)


def _running(script: str, inner: str, html: bool) -> str:
    """Run a script, a function of the element around `inner`, when the page shows it."""
    if html:
        start = markup.escape(f"({script})(this.parentElement)", quote=True)
        return f'<div>{inner}<img alt="" src="data:," style="display:none" onerror="{start}"></div>'
    once = f"if (element && !element.nsTalking) {{ element.nsTalking = true; ({script})(element) }}"
    return f"<div ref={{(element) => {{ {once} }}}}>{inner}</div>"


def _style(values: dict[str, str], html: bool) -> str:
    if html:
        return 'style="' + ";".join(f"{_hyphenated(name)}:{value}" for name, value in values.items()) + '"'
    return f"style={{{json.dumps(values)}}}"


def _class(name: str, html: bool) -> str:
    return f'class="{name}"' if html else f'className="{name}"'


def _hyphenated(name: str) -> str:
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name)
