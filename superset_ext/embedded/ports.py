"""Ports of the loopback interface."""

from __future__ import annotations

import random
import socket
from pathlib import Path

LOOPBACK = "127.0.0.1"
_LEAST = 10_240  # below are the ports of well-known servers
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_FIRST_OF_CLIENTS = 32_768  # Linux, where nobody has set it; other systems begin later
_TRIES = 100


def free_port() -> int:
    """A port that nothing listens on now, and that the system gives to no client's connection meanwhile."""
    ports = range(_LEAST, _first_of_clients())
    tries = (random.SystemRandom().choice(ports) for _ in range(_TRIES if ports else 0))
    return next((port for port in tries if is_free(port)), None) or _any_port()


def _any_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _first_of_clients() -> int:
    """The first port that the system gives to whoever connects."""
    try:
        return int(_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return _FIRST_OF_CLIENTS


def is_free(port: int) -> bool:
    """Whether a server could listen on `port`."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def answers(port: int, timeout: float = 0.5) -> bool:
    """Whether something accepts connections on `port`."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout):
            return True
    except OSError:
        return False
