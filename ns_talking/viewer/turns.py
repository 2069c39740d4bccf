"""What a page asks for is done one after the other, and what went wrong is told to it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ns_talking.utils.progress import CONSOLE


class Turns:
    """Does one thing at a time.

    Args:
        say: Shows a line on the page; an empty one takes the last away.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._busy = threading.Lock()

    def take(self, what: str, work: Callable[[], None], patience_s: float = 0.0) -> None:
        """Do a thing, and tell the page when it begins, ends, or fails.

        Args:
            what: It does, as "Reading the sound".
            work: Does it.
            patience_s: How long it waits for the thing before it; then the page is told to ask again.
        """
        if not self._busy.acquire(timeout=patience_s):
            self._say("One thing at a time, please.")
            return
        try:
            self._say(f"{what} ...")
            work()
            self._say("")
        except (ValueError, OSError, ImportError) as error:
            self._say(f"{error}")
        except Exception as error:
            # Viser would keep the error to itself, and the page would wait for ever.
            CONSOLE.print_exception()
            self._say(f"That did not work: {error}")
        finally:
            self._busy.release()
