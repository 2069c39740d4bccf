"""Laws of cutting long sound and joining what comes out."""

from __future__ import annotations

import numpy as np
import pytest

from ns_talking.audio.chunks import Chunking, cut_samples


@pytest.mark.parametrize("num_steps", [1, 19, 20, 21, 36, 37, 200])
def test_what_does_not_depend_on_the_chunk_is_unchanged_by_chunks(num_steps: int) -> None:
    table = np.random.default_rng(0).normal(size=(num_steps, 3)).astype(np.float32)
    chunking = Chunking(20, 4, 1)
    spans = list(chunking.spans(num_steps))
    joined = np.concatenate(list(chunking.joined(table[span.start : span.stop] for span in spans)))
    np.testing.assert_allclose(joined, table, atol=1e-6)
    assert all(len(span) <= 20 for span in spans)
    assert all(len(span) > 4 for span in spans[1:])


def test_chunks_that_disagree_fade_into_each_other_and_their_edges_are_never_heard() -> None:
    chunking = Chunking(20, 8, 2)
    spans = list(chunking.spans(32))
    assert spans == [range(20), range(12, 32)]
    first, second = np.zeros((20, 1), np.float32), np.ones((20, 1), np.float32)
    first[-2:], second[:2] = 99, 99
    joined = np.concatenate(list(chunking.joined([first, second])))[:, 0]
    assert (joined[:14] == 0).all() and (joined[18:] == 1).all()
    assert (np.diff(joined[13:19]) > 0).all()


def test_impossible_chunks_are_refused() -> None:
    with pytest.raises(ValueError, match="the overlap holds both edges, and a chunk holds two overlaps"):
        Chunking(20, 4, 3)


def test_runs_of_a_stream_are_what_slices_of_the_whole_are() -> None:
    samples = np.arange(100, dtype=np.float32)
    spans = [range(0, 30), range(20, 50), range(50, 95), range(90, 120)]
    runs = list(cut_samples(iter(np.array_split(samples, 17)), spans))
    padded = np.concatenate([samples, np.zeros(20, np.float32)])
    for run, span in zip(runs, spans, strict=True):
        np.testing.assert_array_equal(run, padded[span.start : span.stop])
