"""The pages of an evaluation in a real browser: nothing is fetched, videos play with sound, pictures are whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from browser import browser

from ns_talking.evaluation.comparison import compared
from ns_talking.evaluation.page import comparison_page, run_page
from ns_talking.evaluation.protocol import Demand, RowName, read_protocol
from ns_talking.evaluation.runner import Evaluated

Run = Callable[..., Evaluated]
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with browser(tmp_path_factory.mktemp("pages") / "profile", "--autoplay-policy=no-user-gesture-required") as context:
        yield context


@pytest.fixture
def evaluated(evaluate: Run, tmp_path: Path) -> Evaluated:
    rows = tuple(RowName.parse(row) for row in ("real", "model"))
    demands = (Demand("psnr", ("model",), at_least=99.0),)
    chosen = replace(read_protocol("quick"), rows=rows, metrics=("psnr", "aperture", "fid"), demands=demands)
    result = evaluate(chosen, output=tmp_path / "a")
    (tmp_path / "a" / "evaluation.html").write_text(run_page(result), encoding="utf-8")
    return result


def opened(context: Any, path: Path) -> tuple[Any, list[str]]:
    """Open a page, and collect what it complains about or fetches."""
    page, noticed = context.new_page(), []
    page.set_default_timeout(120_000)
    page.set_viewport_size({"width": 1200, "height": 900})
    page.on("console", lambda message: noticed.append(message.text))
    page.on("pageerror", lambda error: noticed.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith("data:") else noticed.append(request.url))
    page.goto(path.as_uri())
    return page, noticed


def assert_videos_play_with_sound(page: Any, count: int) -> None:
    videos = page.locator("video")
    assert videos.count() == count
    for number in range(count):
        video = videos.nth(number)
        video.evaluate("(video) => video.play()")
        handle = video.element_handle()
        page.wait_for_function(
            "(video) => video.currentTime > 0.1 && video.webkitAudioDecodedByteCount > 0", arg=handle
        )
        assert video.evaluate("(video) => [video.videoWidth, video.videoHeight, video.error]") == [768, 256, None]


def test_the_page_needs_nothing_else_and_its_video_plays_with_sound(
    context: Any, evaluated: Evaluated, tmp_path: Path
) -> None:
    path = tmp_path / "a" / "evaluation.html"
    page, noticed = opened(context, path)
    assert_videos_play_with_sound(page, 1)
    assert page.evaluate("Array.from(document.images).every((image) => image.naturalWidth > 100)")
    assert page.locator("img").count() >= 3
    # Something is seen before it plays, and where it is printed.
    poster = "(async () => { const image = new Image(); image.src = document.querySelector('video').poster;"
    assert page.evaluate(poster + "await image.decode(); return image.naturalWidth; })()") == 768
    assert page.get_by_text("missed", exact=True).is_visible()
    assert page.get_by_text("weights-inception-2015-12-05-6726825d.pth").first.is_visible()
    titled = page.locator("td.number[title]")
    assert any("weights-inception" in titled.nth(k).get_attribute("title") for k in range(titled.count()))
    assert noticed == [path.as_uri()]
    page.close()


def test_wide_tables_scroll_and_the_page_does_not(context: Any, evaluated: Evaluated, tmp_path: Path) -> None:
    page, _ = opened(context, tmp_path / "a" / "evaluation.html")
    assert page.evaluate("document.documentElement.scrollWidth") <= 1200
    page.set_viewport_size({"width": 320, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    wide = page.locator(".wide").last
    assert wide.evaluate("(table) => table.scrollWidth > table.clientWidth")
    wide.evaluate("(table) => { table.scrollLeft = 200 }")
    # The names of the rows stay in sight.
    assert wide.locator("td").first.bounding_box()["x"] >= 0
    page.close()


def test_nothing_of_a_table_is_cut_off_on_paper(context: Any, evaluated: Evaluated, tmp_path: Path) -> None:
    # Every figure of the fullest protocol, with deviations, in rows that name long trainings.
    chosen = read_protocol("self-reenactment")
    values = {figure.key: 0.98765 for figure in chosen.figures}
    rows = [replace(row, values=values, missing={}) for row in evaluated.record.rows]
    full = replace(evaluated.record, figures=[*chosen.figures], rows=rows, name="a_speaker_of_that_clip/er-nerf++/s1")
    seeds = [full, replace(full, rows=[replace(row, values=dict.fromkeys(values, 0.5)) for row in rows])]
    runs = [replace(evaluated, record=record) for record in seeds]
    path = tmp_path / "evaluation.html"
    path.write_text(comparison_page(runs, compared(seeds), "model", ["a.html", "b.html"]), encoding="utf-8")
    page, _ = opened(context, path)
    page.emulate_media(media="print")
    # Letter, which is narrower than A4, lies across and has margins of a centimetre.
    page.set_viewport_size({"width": 980, "height": 740})
    assert "\u00b1" in page.locator(".wide").last.inner_text()
    assert page.locator(".wide td").count() >= 100
    assert page.evaluate("document.documentElement.scrollWidth") <= 980
    page.close()


def test_paper_shows_the_first_frame_in_place_of_the_video(context: Any, evaluated: Evaluated, tmp_path: Path) -> None:
    page, _ = opened(context, tmp_path / "a" / "evaluation.html")
    video, frame = page.locator("video"), page.locator("img.printed")
    assert video.is_visible() and not frame.is_visible()
    page.emulate_media(media="print")
    assert frame.is_visible() and not video.is_visible()
    assert frame.evaluate("(image) => image.naturalWidth") == 768
    page.close()


def test_two_trainings_stand_side_by_side_and_lead_to_their_pages(
    context: Any, evaluated: Evaluated, evaluate: Run, tmp_path: Path
) -> None:
    record = replace(evaluated.record, settings="other", name="<b>other</b>")
    runs = [evaluated, replace(evaluated, record=record)]
    path = tmp_path / "evaluation.html"
    links = ["a/evaluation.html", "a/evaluation.html"]
    page_text = comparison_page(runs, compared([run.record for run in runs]), "model", links)
    path.write_text(page_text, encoding="utf-8")
    page, noticed = opened(context, path)
    assert_videos_play_with_sound(page, 2)
    assert page.get_by_text("<b>other</b>").first.is_visible()
    assert noticed == [path.as_uri()]
    page.locator("a").last.click()
    page.wait_for_url("**/a/evaluation.html")
    page.get_by_role("heading", name="Demands").wait_for()
    page.close()
