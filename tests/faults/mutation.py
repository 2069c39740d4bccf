"""Damaged files: bytes that were changed, lost or repeated, and JSON whose values are not what they should be."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np

_ODD_VALUES: list[Any] = [
    None, True, -1, 0, 1, 2**31, 2**63, -(2**63), 10**30, 1e308, -1e-308, 0.5, float("nan"), float("inf"), "", "x",
    "../../../etc/passwd", "/dev/zero", "\x00", "\ud800", "a" * 70_000, [], {}, [[]], [None], {"a": 1}, [1] * 1000,
]  # fmt: skip
_ODD_BYTES = [b"\x00", b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00", b"%s%n", b"\n", b"{", b"]", b"!!python/"]


class Undamaged(np.random.Generator):
    """Random numbers that leave a file as it is."""

    def __init__(self) -> None:
        super().__init__(np.random.PCG64(0))


def mutated(content: bytes, random: np.random.Generator) -> bytes:
    """Damage a file in one to eight places, or cut it off."""
    if isinstance(random, Undamaged):
        return content
    data = bytearray(content)
    for _ in range(int(random.integers(1, 9))):
        if not data:
            break
        at = int(random.integers(len(data)))
        # Headers and indices are at the ends, where damage reaches furthest.
        if random.random() < 0.5:
            at = min(at, int(random.integers(1, 200))) if random.random() < 0.7 else max(0, len(data) - 1 - at % 2000)
        length = int(2 ** random.uniform(0, 9))
        kind = random.integers(7)
        if kind == 0:
            data[at] ^= 1 << int(random.integers(8))
        elif kind == 1:
            data[at : at + length] = random.bytes(len(data[at : at + length]))
        elif kind == 2:
            del data[at : at + length]
        elif kind == 3:
            data[at:at] = data[at : at + length]
        elif kind == 4:
            odd = _ODD_BYTES[int(random.integers(len(_ODD_BYTES)))]
            data[at : at + len(odd)] = odd
        elif kind == 5:
            data[at : at + 4] = int(random.integers(2**32)).to_bytes(4, "big")
        elif random.random() < 0.5:
            del data[at:]
    return bytes(data)


def mutated_json(content: Any, random: np.random.Generator) -> Any:  # Any: JSON.
    """Replace, drop or repeat one to three values anywhere."""
    found = copy.deepcopy(content)
    if isinstance(random, Undamaged):
        return found
    for _ in range(int(random.integers(1, 4))):
        node, key = _somewhere(found, random)
        if node is None:
            return _odd(random)
        kind = random.integers(6)
        if kind < 3:
            node[key] = _odd(random)
        elif kind == 3:
            del node[key]
        elif kind == 4 and isinstance(node, list):
            node.append(copy.deepcopy(node[key]))
        elif isinstance(node[key], int | float) and not isinstance(node[key], bool):
            node[key] = node[key] * float(random.choice([-1, 0, 1e-9, 1e9, 1e30]))
        else:
            node[key] = _nested(60) if random.random() < 0.2 else [node[key]]
    return found


def as_text(content: Any) -> bytes:  # Any: JSON.
    """Write JSON as broken programs do, NaN and lone surrogates included."""
    return json.dumps(content, indent=1).encode("utf-8", "surrogatepass")


def _odd(random: np.random.Generator) -> Any:
    return copy.deepcopy(_ODD_VALUES[int(random.integers(len(_ODD_VALUES)))])


def _nested(depth: int) -> Any:
    content: Any = 0
    for _ in range(depth):
        content = [content]
    return content


def _somewhere(content: Any, random: np.random.Generator) -> tuple[Any, Any]:
    """Choose a container and a key in it; containers near the root as often as those deep down."""
    node, key, chosen = content, None, (None, None)
    while isinstance(node, dict | list) and len(node):
        keys = list(node) if isinstance(node, dict) else range(len(node))
        key = keys[int(random.integers(len(keys)))]
        chosen = (node, key)
        if random.random() < 0.35:
            break
        node = node[key]
    return chosen
