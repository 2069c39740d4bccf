"""Laws of the numbers behind pictures."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from ns_talking.viewer.stamps import PICTURE, STAMP_BYTES, stamp, stamp_pictures


@pytest.mark.parametrize("content", ["rgb_bytes", "rgb_data"])
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_stamped_picture_has_the_same_pixels_and_ends_in_its_number(content: str, suffix: str) -> None:
    sent = []
    client = SimpleNamespace(scene=SimpleNamespace(_websock_interface=SimpleNamespace(queue_message=sent.append)))
    assert stamp_pictures(client, lambda: 1234)
    encoded = cv2.imencode(suffix, np.random.default_rng(0).integers(0, 255, (9, 7, 3), np.uint8))[1].tobytes()
    client.scene._websock_interface.queue_message(SimpleNamespace(**{content: encoded}))
    marked = getattr(sent[0], content)
    assert marked[-STAMP_BYTES:].decode().split(" ") == [PICTURE, "000001234"]
    before, after = (cv2.imdecode(np.frombuffer(data, np.uint8), 1) for data in (encoded, marked))
    np.testing.assert_array_equal(before, after)


def test_what_is_no_picture_or_has_no_number_is_sent_as_it_is() -> None:
    sent, numbers = [], iter([None])
    client = SimpleNamespace(scene=SimpleNamespace(_websock_interface=SimpleNamespace(queue_message=sent.append)))
    assert stamp_pictures(client, lambda: next(numbers))
    client.scene._websock_interface.queue_message(SimpleNamespace(text="x"))
    client.scene._websock_interface.queue_message(SimpleNamespace(rgb_bytes=b"picture"))
    assert sent == [SimpleNamespace(text="x"), SimpleNamespace(rgb_bytes=b"picture")]
    assert len(stamp(0)) == len(stamp(10**12)) == STAMP_BYTES


def test_a_version_of_viser_that_sends_in_another_way_is_left_alone() -> None:
    assert not stamp_pictures(SimpleNamespace(), lambda: 1)
    assert not stamp_pictures(SimpleNamespace(scene=SimpleNamespace(_websock_interface=object())), lambda: 1)
