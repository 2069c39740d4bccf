"""Laws of the watermark: unseen, found after what platforms do, and not seen where there is none."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from portraits import write_tiny_portrait

from ns_talking.provenance import watermark, watermark_reading
from ns_talking.provenance.watermark import CELLS, cell_px, codes, imprint, payload_from, payload_of, tile
from ns_talking.provenance.watermark_reading import THRESHOLD, WRONG_ALARMS, read_watermark

PAYLOAD = 0xC0FFEE42


def picture(size: int, seed: int = 0) -> np.ndarray:
    """Blobs of all sizes, some noise: what any photograph has."""
    generator = np.random.default_rng(seed)
    image = np.full((size, size, 3), 128, np.float32)
    for side in (2, 4, 8, 16, 32):
        blobs = generator.normal(0, 120 / side**0.7, (side, side, 3)).astype(np.float32)
        image += cv2.resize(blobs, (size, size), interpolation=cv2.INTER_CUBIC)
    image += generator.normal(0, 1.5, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return 10 * math.log10(255**2 / np.mean((a.astype(float) - b) ** 2))


@pytest.mark.parametrize("payload", [0, 1, 0x80000000, PAYLOAD, 0xFFFFFFFF])
def test_every_payload_is_one_tile_and_comes_back(payload: int) -> None:
    cells = tile(payload)
    assert cells.shape == (CELLS, CELLS) and set(np.unique(cells)) == {-1, 1}
    found = np.einsum("bkij,ij->bk", codes(), cells)
    words = np.abs(found).argmax(1)
    assert payload_from(words, found[np.arange(4), words] < 0) == payload
    assert np.sort(np.abs(found), axis=1)[:, -2:].tolist() == [[0, CELLS**2 // 4]] * 4


def test_two_payloads_share_at_most_three_quarters_of_a_tile() -> None:
    assert int((tile(PAYLOAD) * tile(PAYLOAD ^ 1)).sum()) == CELLS**2 * 3 // 4
    assert int((tile(PAYLOAD) * tile(PAYLOAD ^ 0xFFFFFFFF)).sum()) <= 0


def test_the_tile_never_changes() -> None:
    """Videos of today have to be read by the versions to come."""
    assert tile(PAYLOAD)[0, :16].tolist() == TILE
    assert payload_of("a portrait") == 0xAFD4124D


@pytest.mark.parametrize("size", [128, 256, 512])
def test_it_is_as_faint_as_promised(size: int) -> None:
    image = picture(size)
    marked = imprint(image, PAYLOAD)
    assert 40 < psnr(image, marked) < 46.6
    assert abs(float(marked.mean()) - float(image.mean())) < 0.1


def test_opacity_is_left_alone() -> None:
    image = np.dstack([picture(64), np.full((64, 64), 200, np.uint8)])
    assert (imprint(image, PAYLOAD)[..., 3] == 200).all()


@pytest.mark.parametrize(
    ("height", "width"), [(128, 128), (256, 256), (512, 512), (360, 640), (1080, 1920), (255, 301)]
)
def test_one_frame_tells_its_payload(height: int, width: int) -> None:
    image = cv2.resize(picture(256), (width, height), interpolation=cv2.INTER_CUBIC)
    found = read_watermark([imprint(image, PAYLOAD)])
    assert found is not None and found.payload == PAYLOAD
    assert found.cell_px == pytest.approx(cell_px(height, width), rel=0.01)


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame[26:486, 21:481],
        lambda frame: cv2.resize(frame, (256, 256), interpolation=cv2.INTER_AREA),
        lambda frame: cv2.resize(frame, (384, 384), interpolation=cv2.INTER_AREA),
        lambda frame: cv2.resize(frame[26:486, 26:486], (512, 512)),
        lambda frame: cv2.resize(frame, (700, 700)),
        lambda frame: cv2.imdecode(cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 50])[1], 1),
        lambda frame: np.clip(frame.astype(float) * 0.7 + 30, 0, 255).astype(np.uint8),
    ],
    ids=["crop", "half", "three quarters", "crop and enlarge", "enlarge", "jpeg", "contrast"],
)
def test_it_is_found_after_changes(change) -> None:
    found = read_watermark([change(imprint(picture(512), PAYLOAD))])
    assert found is not None and found.payload == PAYLOAD


def test_the_bound_on_wrong_alarms_holds_whatever_the_picture() -> None:
    """Hoeffding's bound, summed over all that is tried."""
    tried = 2.0**32 * (2 * CELLS) ** 2 * watermark_reading._MOST_SIZES
    assert tried * math.exp(-(THRESHOLD**2) / 2) == pytest.approx(WRONG_ALARMS)
    for side in (48, 128, 256, 512, 2160):
        bands = [watermark_reading._Band(cell, (side, 2 * side)) for cell in watermark_reading._bands(side)]
        assert 0 < sum(len(band.sizes(cell_px(side, 2 * side))) for band in bands) <= watermark_reading._MOST_SIZES


@pytest.mark.parametrize("kind", ["a face", "stripes"])
def test_pictures_without_it_have_none(kind: str, tmp_path: Path) -> None:
    folder = write_tiny_portrait(tmp_path / "tiny", num_frames=2, size=64)
    face = cv2.imread(str(folder / "images/000001.jpg"))
    stripes = np.repeat(np.tile(np.uint8([[0, 255]]), (64, 32))[..., None], 3, axis=2)
    assert read_watermark([face if kind == "a face" else stripes]) is None


def test_a_payload_has_32_bits() -> None:
    with pytest.raises(ValueError, match="carries 32 bits, 4294967296 does not fit"):
        watermark.tile(1 << 32)


TILE = [-1, -1, -1, -1, 1, -1, 1, -1, -1, -1, -1, 1, -1, 1, 1, 1]
