"""Laws of marks: what is signed is found, what was changed is told, and nothing else counts as marked."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import numpy as np
import pytest
from marked_videos import ORIGIN, write_video

from ns_talking.provenance import marking
from ns_talking.provenance.certificate import TIMESTAMP_VARIABLE
from ns_talking.provenance.marking import COMPOSITE, SYNTHETIC, Mark, Origin, make_mark
from ns_talking.provenance.verification import examine
from ns_talking.scripts.main import main
from ns_talking.utils.video import MADE_BY, VideoWriter, read_frames, video_info


def verify(path: Path, *options: str) -> int:
    with pytest.raises(SystemExit) as exit_:
        main(["verify", str(path), *options])
    return exit_.value.code  # type: ignore[return-value]


def changed(path: Path, *positions: int) -> Path:
    content = bytearray(path.read_bytes())
    for position in positions:
        content[position] ^= 0x55
    other = path.with_name("changed.mp4")
    other.write_bytes(content)
    return other


def test_a_digest_of_our_own_is_not_called_sha256() -> None:
    origin = replace(ORIGIN, hashes={"audio": "ab" * 32, "tracked_clip": "cd" * 16})
    details = marking.manifest(origin, "a.mp4")["assertions"][1]["data"]
    assert details["sha256"] == {"audio": "ab" * 32} and details["tracked_clip"] == "cd" * 16


def test_a_marked_video_says_what_made_it_from_what(marked: Path) -> None:
    finding = examine(marked)
    assert finding.status == "marked" and not finding.trusted and "untrusted" in finding.signer
    assert finding.source_types == (SYNTHETIC,)
    parts = {part["label"]: part["data"] for part in finding.manifest["assertions"]}
    (created,) = parts["c2pa.actions.v2"]["actions"]
    assert created["action"] == "c2pa.created"
    assert parts[marking.ORIGIN]["method"] == "ERNeRF"
    assert parts[marking.ORIGIN]["sha256"] == ORIGIN.hashes
    assert parts[marking.ORIGIN]["subject"] == ORIGIN.subject
    assert finding.manifest["title"] == "marked.mp4"


def test_plain_metadata_say_it_too(marked: Path) -> None:
    with av.open(str(marked)) as container:
        comment = container.metadata["comment"]
    assert comment.startswith(MADE_BY) and SYNTHETIC in comment and "ERNeRF" in comment


def test_signing_leaves_pictures_and_sound_as_they_are(mark: Mark, tmp_path: Path) -> None:
    signed = write_video(tmp_path / "signed.mp4", replace(mark, watermark=False))
    plain = write_video(tmp_path / "plain.mp4", None)
    assert video_info(signed) == video_info(plain)
    np.testing.assert_array_equal(list(read_frames(signed)), list(read_frames(plain)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plain.mp4", "signed.mp4"]


def test_what_was_encoded_again_and_lost_all_else_is_told_by_its_pictures(
    mark: Mark, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grey = np.full((128, 128, 3), 120, np.uint8)
    with VideoWriter(tmp_path / "a.mp4", 128, 128, 25.0, None, mark=mark) as writer:
        for _ in range(6):
            writer.write(grey)
    (details,) = (
        part for part in examine(tmp_path / "a.mp4").manifest["assertions"] if part["label"] == marking.ORIGIN
    )
    assert details["data"]["watermark"] == f"{mark.payload:08x}"
    with VideoWriter(tmp_path / "b.mp4", 128, 128, 25.0, None, 26, comment="") as writer:
        for frame in read_frames(tmp_path / "a.mp4"):
            writer.write(frame)
    assert examine(tmp_path / "b.mp4").status == "unmarked"
    assert verify(tmp_path / "b.mp4") == 6
    assert f"Watermark: {mark.payload:08x}" in capsys.readouterr().out
    assert verify(tmp_path / "b.mp4", "--no-watermark") == 3


def test_what_is_filmed_in_parts_says_so(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", make_mark(Origin("ERNeRF", composite=True)))
    assert examine(video).source_types == (COMPOSITE,)


def test_every_changed_byte_of_picture_or_sound_is_noticed(marked: Path) -> None:
    content = marked.read_bytes()
    start = content.index(b"mdat") + 4
    for position in np.random.default_rng(0).integers(start, len(content), 25):
        finding = examine(changed(marked, int(position)))
        assert finding.status == "altered", position
        assert any("bmffHash.mismatch" in problem for problem in finding.problems)


def test_a_changed_manifest_is_noticed(marked: Path) -> None:
    content = marked.read_bytes()
    for text in (b"trainedAlgorithmicMedia", b"cd" * 32, b"myself"):
        assert examine(changed(marked, content.index(text))).status == "altered"


def test_a_cut_video_is_never_marked(marked: Path, tmp_path: Path) -> None:
    content = marked.read_bytes()
    for share in (0.01, 0.1, 0.5, 0.9, 0.999):
        (tmp_path / "cut.mp4").write_bytes(content[: round(share * len(content))])
        assert verify(tmp_path / "cut.mp4") in (1, 4), share


def test_a_video_encoded_again_keeps_at_most_its_comment(marked: Path, tmp_path: Path) -> None:
    assert examine(write_video(tmp_path / "a.mp4", None, comment="holiday")).status == "unmarked"
    finding = examine(write_video(tmp_path / "b.mp4", None, comment=MADE_BY))
    assert finding.status == "metadata" and not finding.manifest


def test_a_signature_that_calls_nothing_synthetic_is_no_mark(
    tmp_path: Path, mark: Mark, monkeypatch: pytest.MonkeyPatch
) -> None:
    filmed = "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"
    monkeypatch.setattr(Origin, "source_type", property(lambda self: filmed))
    monkeypatch.setattr(Mark, "comment", property(lambda self: "filmed"))
    finding = examine(write_video(tmp_path / "a.mp4", mark))
    assert finding.status == "unmarked" and finding.source_types == (filmed,) and finding.manifest


def test_what_is_no_mp4_is_refused(tmp_path: Path) -> None:
    for content, found in ((b"", "an empty file"), (b"RIFF0000WAVE", "the bytes 52 49 46 46")):
        (tmp_path / "a.mp4").write_bytes(content)
        with pytest.raises(ValueError, match=f"is neither mp4 nor mov: it begins with {found}"):
            examine(tmp_path / "a.mp4")
    (tmp_path / "a.mp4").write_bytes(b"\0\0\0\x18ftypisom" + bytes(500))
    with pytest.raises(ValueError, match="damaged or cut"):
        examine(tmp_path / "a.mp4")
    with pytest.raises(FileNotFoundError, match="no file .*gone.mp4 to verify"):
        examine(tmp_path / "gone.mp4")


def test_the_command_tells_by_its_status(marked: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(marked) == 0
    printed = capsys.readouterr().out
    assert "unchanged since it was signed" in printed and "not trusted" in printed and "myself" in printed
    assert verify(changed(marked, -5)) == 4
    assert "bmffHash.mismatch" in capsys.readouterr().out
    assert verify(write_video(tmp_path / "plain.mp4", None)) == 3
    assert "does not show that it is real" in capsys.readouterr().out
    assert verify(write_video(tmp_path / "comment.mp4", None, comment=MADE_BY)) == 5
    (tmp_path / "text.mp4").write_text("hello")
    assert verify(tmp_path / "text.mp4") == 1
    capsys.readouterr()
    assert verify(marked, "--json") == 0
    assert json.loads(capsys.readouterr().out)["status"] == "marked"


def test_strangers_words_do_not_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "\x1b[2J[red]gotcha[/red]\u202e"
    verify(write_video(tmp_path / "a.mp4", make_mark(Origin(hostile, subject={"who": hostile}))))
    printed = capsys.readouterr().out
    assert "\x1b" not in printed and "\u202e" not in printed and "[red]gotcha[/red]" in printed


def test_a_manifest_that_lies_elsewhere_is_not_fetched(tmp_path: Path, mark: Mark) -> None:
    import c2pa

    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

    plain = write_video(tmp_path / "plain.mp4", None)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        builder = c2pa.Builder(marking.manifest(ORIGIN, "a.mp4"))
        builder.set_no_embed()
        builder.set_remote_url(f"http://127.0.0.1:{server.server_port}/manifest.c2pa")
        signer = marking._c2pa_signer(c2pa, mark.signer)
        with plain.open("rb") as source, (tmp_path / "a.mp4").open("w+b") as target:
            builder.sign(signer, "video/mp4", source, target)
        finding = examine(tmp_path / "a.mp4")
        server.shutdown()
    assert not asked
    assert finding.status == "unmarked"
    assert "was not fetched" in finding.problems[0] and "127.0.0.1" in finding.problems[0]


def test_without_the_library_the_plain_metadata_are_written_and_the_user_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing() -> None:
        raise ImportError("The package c2pa-python cannot be loaded")

    with monkeypatch.context() as patch:
        patch.setattr(marking, "c2pa_library", missing)
        video = write_video(tmp_path / "a.mp4", make_mark(ORIGIN))
    assert "plain metadata alone" in " ".join(capsys.readouterr().out.split())
    assert examine(video).status == "metadata"


@pytest.mark.parametrize("named", [True, False])
def test_a_timestamp_authority_is_asked_only_where_one_is_named(
    named: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.headers["Content-Type"])
            self.send_error(503)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        if named:
            monkeypatch.setenv(TIMESTAMP_VARIABLE, f"http://127.0.0.1:{server.server_port}/")
        video = write_video(tmp_path / "a.mp4", make_mark(ORIGIN))
        server.shutdown()
    assert set(asked) == ({"application/timestamp-query"} if named else set())
    # One that does not answer costs the signature, not the video.
    assert examine(video).status == ("metadata" if named else "marked")
    assert ("could not be signed" in " ".join(capsys.readouterr().out.split())) == named


def test_a_signature_that_fails_keeps_the_video_and_says_so(
    tmp_path: Path, mark: Mark, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import c2pa

    def failing(*_: object) -> None:
        raise c2pa.C2paError("no luck")

    monkeypatch.setattr(marking, "_sign", failing)
    video = write_video(tmp_path / "a.mp4", mark)
    assert "could not be signed (no luck)" in capsys.readouterr().out
    assert examine(video).status == "metadata"


def test_an_error_while_writing_signs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mark: Mark) -> None:
    applied: list[str] = []
    monkeypatch.setattr(Mark, "apply", lambda self, path, title: applied.append(title))

    def interrupted() -> None:
        with VideoWriter(tmp_path / "a.mp4", 64, 48, 25.0, None, mark=mark) as writer:
            writer.write(np.zeros((48, 64, 3), np.uint8))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not applied and not list(tmp_path.iterdir())
