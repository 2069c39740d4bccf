"""Networks as ONNX files, written byte by byte: no exporter has to be installed for a test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

_FLOAT, _INT, _INTS = 1, 2, 7


def write_face_recogniser(path: Path, seed: int = 0) -> None:
    """Write a network with random weights and with SFace's input and output: 3 x 112 x 112 to 128 numbers.

    Two convolutions and a linear layer; OpenCV reads it as it reads the published one.
    """
    generator = np.random.default_rng(seed)
    weights = {
        "conv1": generator.normal(0, 0.02, (16, 3, 7, 7)),
        "conv2": generator.normal(0, 0.05, (24, 16, 5, 5)),
        "linear": generator.normal(0, 0.02, (128, 24 * 7 * 7)),
    }
    nodes = [
        _node("Conv", ["data", "conv1"], "c1", kernel_shape=[7, 7], strides=[4, 4], pads=[3, 3, 3, 3]),
        _node("Relu", ["c1"], "r1"),
        _node("Conv", ["r1", "conv2"], "c2", kernel_shape=[5, 5], strides=[4, 4], pads=[2, 2, 2, 2]),
        _node("Relu", ["c2"], "r2"),
        _node("Flatten", ["r2"], "f"),
        _node("Gemm", ["f", "linear"], "fc1", transB=1),
    ]
    graph = b"".join(_bytes(1, node) for node in nodes) + _bytes(2, b"face recogniser")
    graph += b"".join(_bytes(5, _tensor(name, value.astype(np.float32))) for name, value in weights.items())
    graph += _bytes(11, _value("data", (1, 3, 112, 112))) + _bytes(12, _value("fc1", (1, 128)))
    path.write_bytes(_number(1, 8) + _bytes(7, graph) + _bytes(8, _number(2, 11)))


def _node(kind: str, inputs: Sequence[str], output: str, **attributes: int | list[int]) -> bytes:
    content = b"".join(_bytes(1, name.encode()) for name in inputs)
    content += _bytes(2, output.encode()) + _bytes(3, output.encode()) + _bytes(4, kind.encode())
    for name, value in attributes.items():
        if isinstance(value, int):
            attribute = _number(3, value) + _number(20, _INT)
        else:
            attribute = b"".join(_number(8, entry) for entry in value) + _number(20, _INTS)
        content += _bytes(5, _bytes(1, name.encode()) + attribute)
    return content


def _tensor(name: str, value: np.ndarray) -> bytes:
    sides = b"".join(_number(1, side) for side in value.shape)
    return sides + _number(2, _FLOAT) + _bytes(8, name.encode()) + _bytes(9, value.tobytes())


def _value(name: str, shape: Sequence[int]) -> bytes:
    sides = b"".join(_bytes(1, _number(1, side)) for side in shape)
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, _number(1, _FLOAT) + _bytes(2, sides)))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])
