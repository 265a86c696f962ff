"""What a trial says while it runs and at its end, and that it cleans up when it is told to end."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Mapping
from typing import Any, NoReturn


class TrialError(Exception):
    """The trial could not be done as it is meant; the text says why."""


def tell(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stderr.flush()


def end_in_good_order() -> None:
    """SIGTERM unwinds as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _ended)


def _ended(number: int, _: object) -> None:
    sys.exit(128 + number)


def say_and_end(report: Mapping[str, Any]) -> NoReturn:
    """The report as JSON; exit status 1 where it names problems."""
    sys.stdout.write(json.dumps(report, ensure_ascii=False, indent=1) + "\n")
    sys.exit(1 if report["problems"] else 0)
