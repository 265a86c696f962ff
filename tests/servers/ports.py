"""Ports for servers that are started later."""

from __future__ import annotations

import random
import socket
from contextlib import suppress

BELOW_THOSE_OF_CONNECTIONS = range(20_000, 32_000)
"""A port that the system hands out (32768 and up) may be that of a connection before the server listens there, even of
one that looks for that very server."""


def free_port() -> int:
    for port in random.SystemRandom().sample(BELOW_THOSE_OF_CONNECTIONS, 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no free port")
