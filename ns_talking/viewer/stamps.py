"""Numbers on the pictures that go to a page, by which it tells what it painted.

A number stands behind the end of the encoded picture, where decoders stop reading.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

PICTURE = "ns-talking-picture"
_DIGITS = 9
STAMP_BYTES = len(PICTURE) + 1 + _DIGITS
"""Length of a number behind its picture."""
_CONTENTS = "rgb_bytes", "rgb_data"
"""What versions of Viser call the encoded picture of a page's background."""


def stamp(number: int) -> bytes:
    """Write a picture's number as it stands behind the picture."""
    return f"{PICTURE} {number % 10**_DIGITS:0{_DIGITS}d}".encode()


def stamp_pictures(client: Any, number: Callable[[], int | None]) -> bool:  # Any: Viser's handle.
    """Write numbers behind all pictures that are sent to a page from now on.

    Args:
        client: The page.
        number: Tells the number of the picture that is being sent; None where it has none.

    Returns:
        Whether this version of Viser can be asked to. Pages of others do not tell when they paint.
    """
    interface: Any = getattr(getattr(client, "scene", None), "_websock_interface", None)  # Any: as above.
    if not hasattr(interface, "queue_message"):
        return False
    queue = interface.queue_message

    def stamped(message: Any) -> None:  # Any: of any kind.
        name = next((name for name in _CONTENTS if isinstance(getattr(message, name, None), bytes)), None)
        count = number() if name is not None else None
        if name is not None and count is not None:
            setattr(message, name, getattr(message, name) + stamp(count))
        queue(message)

    interface.queue_message = stamped
    return True
