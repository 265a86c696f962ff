"""What a trial says while it runs, and that it cleans up when it is told to end."""

from __future__ import annotations

import signal
import sys
import time


def tell(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stderr.flush()


def end_in_good_order() -> None:
    """SIGTERM unwinds as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _ended)


def _ended(number: int, _: object) -> None:
    sys.exit(128 + number)
