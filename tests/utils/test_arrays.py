"""Laws of reading arrays of others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ns_talking.utils.arrays import read_array


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("shape", [(3, 2), (0, 4), ()])
def test_an_array_is_read_as_it_was_written(tmp_path: Path, mapped: bool, shape: tuple[int, ...]) -> None:
    values = np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
    np.save(tmp_path / "a.npy", values)
    np.testing.assert_array_equal(read_array(tmp_path / "a.npy", mapped), values)


def header(shape: str, kind: str = "<f4") -> bytes:
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no array",
        header("(1000000000000,)") + bytes(64),
        header("(4,)") + bytes(15),
        header("(-4,)") + bytes(64),
        header("(2,)", "|O") + b"\x80\x04cposix\nsystem\n",
        header("(2,)", "|S8") + bytes(16),
        header("(2, (((") + bytes(64),
    ],
)
def test_what_is_no_array_of_numbers_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.npy holds no array of numbers, or is damaged"):
        read_array(tmp_path / "a.npy")


def test_an_archive_in_place_of_an_array_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "a.npy").open("wb") as file:
        np.savez(file, a=np.zeros(3))
    with pytest.raises(ValueError, match="holds no array of numbers"):
        read_array(tmp_path / "a.npy")
